"""Breaks the planner and the engine, one promise at a time, and checks that a test notices.

    python3 tests/mutants.py [TEXT]      # only mutants whose name contains TEXT
    python3 tests/mutants.py --check     # only checks that each still fits the source

Each mutant is one replacement in a copy of the project, on which the tests on the simulator run. It
prints which of them failed. It exits with 1 if a mutant survives, or no longer fits the source. With
cargo-nextest a mutant takes half a minute, since that stops at the first test that fails.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# (promise or 0, name, file, text, replacement)
MUTANTS = [
    (0, "what the rollout launched is protected by its group", "src/rollout/state/protection.rs",
     "came_here || came_since || instance.failed_in.is_some()",
     "false"),
    (0, "whatever a group launches is protected by nobody", "src/rollout/state/protection.rs",
     "came_here || came_since || instance.failed_in.is_some()",
     "true"),
    (0, "an update that was not begun is forgotten", "src/rollout/state/accepted.rs",
     "is_forward && !begun && is_marked_for(look, failing)",
     "false"),
    (0, "an update that may have begun is asked for at once", "src/rollout/state/accepted.rs",
     "            self.unanswered.updates.insert(token.clone());\n",
     "            self.unanswered.updates.remove(token);\n"),
    (0, "ignored unmanaged instances are named nowhere", "src/rollout/planner/set_aside.rs",
     "all.filter(move |(_, runs)| runs.as_ref() != Some(wanted))",
     "all.filter(move |(_, runs)| runs.as_ref() == Some(wanted))"),
    (0, "a failed hook is the fault of the revision", "src/rollout/planner/stop_conditions.rs",
     "Some(fail(input, Cause::Hook, failed.reason.clone()))",
     "Some(fail(input, Cause::Revision, failed.reason.clone()))"),
    (0, "a new set beside protected instances is planned smaller", "src/rollout/planner/paper.rs",
     "let surge = if is_whole { surge } else { surge.min(paper.old) };",
     "let surge = surge.min(paper.old);"),
    (0, "a reason loses its punctuation", "src/record/fields.rs",
     "let word = encode_word(word);",
     "let word = word.replace([',', ';', '(', ')'], \"\");"),
    (0, "a column is counted twice", "src/document/positions.rs",
     "        _ => at.column += 1,\n",
     "        _ => at.column += 2,\n"),
    (0, "a provider in capitals is one of others", "src/document/provider_block.rs",
     "strsim::jaro_winkler(&name.to_lowercase(), \"rolling\")",
     "strsim::jaro_winkler(name, \"rolling\")"),
    (0, "nobody is told that the environment names the account", "src/document/read.rs",
     "if needs_cloud && !provider.is_there {",
     "if needs_cloud && provider.is_there {"),
    (0, "changes that nobody can read are a success", "src/dispatch.rs",
     "if [0, CHANGES].contains(&code) {",
     "if [0].contains(&code) {"),
    (0, "a look needs a lock", "providers/simulator/src/fleet.rs",
     "        stored.open_to_look()?;\n",
     "        stored.open()?;\n"),
    (0, "it looks at once after whatever it did", "src/rollout/planner/due.rs",
     "        && !plan.waiting_on.is_empty()\n",
     "        && plan.waiting_on.is_empty()\n"),
    (0, "nothing is learned of how long launches take", "src/rollout/state/stages.rs",
     "            *shortest = took.min(*shortest);",
     "            *shortest = Duration::ZERO;"),
    (0, "a pause is as long as it may", "src/rollout/planner/due.rs",
     "let guessed = likely.since(now).max(SOONEST).min(spec.poll_interval);",
     "let guessed = likely.since(now).max(SOONEST);"),
    (0, "an instance that somebody took out is looked at all the time", "src/rollout/planner/due.rs",
     "input.state.history.get(id).filter(|history| !history.taken_out);",
     "input.state.history.get(id);"),
    (1, "floor off by one", "src/rollout/planner/batch.rs",
     "let mut spare = view.spare();",
     "let mut spare = view.spare() + 1;"),
    (10, "an instance that was put back a moment ago serves for sure", "src/rollout/planner/view.rs",
     "surely: serves && !state.may_be_out(id, now),",
     "surely: serves,"),
    (2, "ceiling off by one", "src/rollout/planner/pace.rs",
     "surge.min(old)",
     "(surge + 1).min(old)"),
    (3, "the window is ignored", "src/rollout/planner/view.rs",
     "self.victims().count() + coming.max(self.terminating.len())",
     "self.victims().count()"),
    (5, "the drain is skipped", "src/rollout/planner/retire.rs",
     "    member.is_out_of_rotation(input) || due.is_some_and(|due| input.now >= due)",
     "    due.is_some_and(|due| due >= input.now)"),
    (5, "one target group is enough", "src/rollout/planner/retire.rs",
     "in_rotation && asked.is_none_or(",
     "group.id == input.target.target_groups[0].id && in_rotation && asked.is_none_or("),
    (6, "the soak is ignored", "src/rollout/planner/view.rs",
     "soaked: serves && since.is_some_and(|since| now.since(since) >= soak),",
     "soaked: serves && since.is_some_and(|since| now >= since || soak.is_zero()),"),
    (7, "idle instances go last", "src/rollout/planner/batch.rs",
     "        (false, _) => 0,\n        (true, false) => 3,",
     "        (false, _) => 9,\n        (true, false) => 3,"),
    (9, "the next engine forgets the surge", "src/rollout/state/sizes.rs",
     "let was_written = more == Some(record.surge) ||",
     "let was_written = more == Some(0) ||"),
    (9, "failed instances are not adopted", "src/rollout/state/observe.rs",
     "            self.adopt_failed(target, look);\n",
     ""),
    (9, "instances that the previous engine deregistered stay out", "src/rollout/planner/roll.rs",
     "    plan.actions.splice(0..0, retire::register_again(input, &chosen));\n",
     ""),
    (10, "a size we wrote is not believed", "src/rollout/state/sizes.rs",
     "if shown.min <= self.desired && self.believed_until.contains_key(&shown.desired) {",
     "if shown.min > self.desired && self.believed_until.contains_key(&shown.desired) {"),
    (11, "another engine's record is no sign of it", "src/rollout/ownership.rs",
     "        if self.left.iter().any(|left| left.shows_in(look)) {",
     "        if self.left.iter().any(|left| left.shows_in(look)) || self.holds() {"),
    (12, "the template stays on the revision in between", "src/rollout/planner/borrow.rs",
     "            None => look.template.as_ref() != Some(&target.revision),",
     "            None => look.template.as_ref() != Some(&target.revision) && record.generation < 2,"),
    (18, "a maximum that a late look does not show stays", "src/rollout/planner/halt/restore.rs",
     "let shown = input.state.max(input.look);",
     "let shown = input.look.max();"),
    (19, "a suspension that a late look does not show stays", "src/rollout/state/believed.rs",
     "(lately && self.written.suspended.contains(*process))",
     "(lately && self.written.suspended.contains(*process) && process.is_empty())"),
    (9, "a new engine launches beside what no look shows yet", "src/rollout/planner/launch.rs",
     "    if may_not_show(input, plan) {",
     "    if may_not_show(input, plan) && now.0 == 0 {"),
    (13, "the rollback goes to a revision that only some ran", "src/rollout/planner/run_by.rs",
     "revisions.all(|revision| revision == Some(first)).then(|| first.clone())",
     "revisions.any(|revision| revision == Some(first)).then(|| first.clone())"),
    (14, "surge that nobody launched stays", "src/rollout/planner/borrow.rs",
     "let cuts = unlaunched > 0 && (complete || (state.direction.rolls_back.is_some() && moves));",
     "let cuts = unlaunched > 0 && unlaunched < 1 && (complete || moves);"),
    (15, "the bad template stays while paused", "src/rollout/planner/halt/restore.rs",
     "if halt.ending == Ending::Paused && !halt.fault {",
     "if halt.ending == Ending::Paused {"),
    (0, "a rollback fails by what was ill before", "src/rollout/state/history.rs",
     "self.is_new && !(rolls_back && self.predates)",
     "self.is_new"),
    (0, "a rollback waits for what was ill before", "src/rollout/planner/view.rs",
     "new.filter(|member| !member.soaked && !member.excused)",
     "new.filter(|member| !member.soaked)"),
    (0, "the floor keeps a rollback from its end", "src/rollout/planner/view.rs",
     "                (member.is_new, member.excused) = (false, false);\n",
     ""),
    (0, "a rollback does not answer for whom it took out", "src/rollout/state/adopt.rs",
     "history.predates &= !was_out || history.was_ill;",
     "history.predates &= true;"),
    (16, "a pause does not freeze deadlines", "src/rollout/state/adopt.rs",
     "(since + record.paused).min(resumed)",
     "since.min(resumed)"),
    (16, "the timeout doubled", "src/rollout/state/history.rs",
     "from + health.healthy_timeout",
     "from + health.healthy_timeout * 2"),
    (17, "threshold off by one", "src/rollout/planner/stop_conditions.rs",
     "record.failures >= spec.failure_threshold",
     "record.failures > spec.failure_threshold"),
    (18, "nothing is given back at the end", "src/rollout/planner/roll.rs",
     "    plan.actions.extend(halt::give_back(input, record));\n",
     ""),
    (18, "the last ones are replaced instead of given back", "src/rollout/planner/retire.rs",
     "let is_last = !member.is_old() || old_left + view.stay_idle() <= surge;",
     "let is_last = !member.is_old() || old_left < surge;"),
    (0, "surplus beside instances that stay without serving is replaced", "src/rollout/planner/retire.rs",
     "let is_last = !member.is_old() || old_left + view.stay_idle() <= surge;",
     "let is_last = old_left + view.stay_idle() <= surge;"),
    (1, "an instance that stays without serving takes a place of those that do", "src/rollout/planner/retire.rs",
     "let is_last = !member.is_old() || old_left + view.stay_idle() <= surge;",
     "let is_last = !member.is_old() || old_left <= surge;"),
    (1, "a missing launch is judged later than one on its way", "src/rollout/planner/view.rs",
     "missing.late(UNLAUNCHED_AFTER, input.look.at);",
     "missing.late(super::UNLAUNCHED_AFTER, input.now);"),
    (18, "a rollout is done with surge that may not be given back", "src/rollout/planner/roll.rs",
     "    if surplus.is_empty() && input.state.surge() > 0 && !waits {",
     "    if surplus.is_empty() && input.state.surge() > 99 && !waits {"),
    (18, "surplus is taken out of a fleet that replaces it", "src/rollout/planner/retire.rs",
     "    if !input.state.rotation.replaces.is_seen() || input.is_in_place() {",
     "    if !input.state.rotation.replaces.is_seen() || surge < usize::MAX {"),
    (1, "the second target group is left short", "src/rollout/planner/shift.rs",
     "    if share == 0 || going.is_empty() || staying.len() >= least {",
     "    if share == 0 || going.is_empty() || staying.len() + 9 >= least {"),
    (11, "a removed lease is no sign of another engine", "src/rollout/ownership.rs",
     "            None => return Some(format!(\"{TAKEN_OFF}; {}\", shown(look))),",
     "            None => return None,"),
    (11, "a guarded record that is deleted is somebody else's", "src/rollout/ownership.rs",
     "            return match is_deleted && self.too_early {",
     "            return match is_deleted && self.erasing {"),
    (11, "only another's lease is a sign of another engine", "src/rollout/ownership.rs",
     "        let Some(sign) = self.sign(look) else {",
     "        let is_there = look.contains_key(LEASE);\n"
     "        let sign = self.sign(look).filter(|sign| is_there && sign.contains(\"taken the rollout over\"));\n"
     "        let Some(sign) = sign else {"),
    (11, "a lease is judged by a look from long ago", "src/record/lease.rs",
     "    now.since(looked) < FRESH",
     "    now.since(looked) < FRESH * 1000"),
    (24, "a rollback while pausing counts as done", "src/rollout/control/table.rs",
     "        (Command::Rollback, RollingBack) => Effect::Already,",
     "        (Command::Rollback, RollingBack | Halting(Paused)) => Effect::Already,"),
    (24, "only what an ended engine was about to do is done", "src/rollout/control/table.rs",
     "            Effect::Resume | Effect::RollBack if self.asked_to_end => Effect::Later,",
     "            Effect::Resume | Effect::RollBack if self.asked_to_end => Effect::Later,\n"
     "            Effect::RollBack if self.halt.is_some() => Effect::Already,"),
    (24, "a command is not judged again with the lease in hand", "src/rollout/control.rs",
     "            && no_op(self.control.command, record.as_ref(), false).is_none()",
     "            || self.judged.is_some()"),
    (24, "a command has no effect while things are put back", "src/rollout/planner/tick.rs",
     "        Some(halt) => match stop_conditions::apply_command(input) {",
     "        Some(halt) => match stop_conditions::apply_command(input).filter(|_| input.now.0 == 0) {"),
    (24, "a lease without a record is no rollout", "src/rollout/control/table.rs",
     "            None => State::Unrecorded,",
     "            None => State::Absent,"),
    (24, "a command that loses the race for the lease gives up", "src/engine/run.rs",
     "        let is_late = outcome == Outcome::Locked && !self.lease.holds();",
     "        let is_late = outcome != Outcome::Locked && self.context.wanted.as_str().is_empty();"),
    (24, "a command has the id of its caller", "src/rollout/control.rs",
     "    let request = [caller, owner, command.name(), &now.0.to_string()].join(\" \");",
     "    let request = [caller, \"\", &owner[..0], &now.0.to_string()[..0], &command.name()[..0]].join(\" \");"),
    (24, "a caller that waits does not see that the engine is gone", "src/rollout/control.rs",
     "        let nobody = matches!(claim, Claim::Take(_));",
     "        let nobody = matches!(claim, Claim::Take(_)) && !self.living;"),
    (24, "an engine that was told to end goes on", "src/rollout/control/table.rs",
     "            Effect::Resume | Effect::RollBack if self.asked_to_end => Effect::Later,",
     "            Effect::Resume | Effect::RollBack if self.asked_to_end && self.halt.is_none() => Effect::Later,"),
    (22, "an instance that somebody takes out before it has soaked counts as failed", "src/rollout/state/history.rs",
     "self.taken_out = out && runs && !serves && !ours;",
     "self.taken_out = out && runs && !serves && !ours && self.soaked;"),
    (19, "a pause keeps a surge that is not there", "src/rollout/planner/borrow.rs",
     "    match is_known || input.look.is_unmanaged() {",
     "    match is_known || surge < u32::MAX {"),
    (19, "an instance stays where no requests go", "src/rollout/planner/halt.rs",
     "            plan.actions.extend(shift::register_in_primary(input, view, leaving));\n",
     ""),
    (1, "surplus goes below the floor", "src/rollout/planner/roll.rs",
     "let fits = (unsoaked || free > 0) && (!serves || spare > 0);",
     "let fits = unsoaked || free > 0;"),
    (19, "victims change while surge is given back", "src/rollout/planner/halt/restore.rs",
     "let going = view.victims().filter(|m| !m.spared && !is_given_up(m));",
     "let going = view.victims().filter(|m| !m.spared && is_given_up(m));"),
    (1, "a late look brings back an instance on its way out", "src/rollout/state/departed.rs",
     "                instance.lifecycle = Lifecycle::Terminating;\n",
     ""),
    (24, "a launch that a look does not list yet is taken off the size", "src/rollout/state/observe.rs",
     "            ActivityKind::Launched(at) => now.since(at) <= LOOKS_LAG,\n",
     "            ActivityKind::Launched(_) => false,\n"),
    (19, "victims stay out after an abort", "src/rollout/planner/halt.rs",
     "    register_again(input, view, &leaving, &mut plan);\n",
     ""),
    (20, "checkpoints are ignored", "src/rollout/planner/pace.rs",
     "    let Some(ahead) = ahead else { return usize::MAX };\n",
     "    let Some(ahead) = ahead.filter(|a| a.percentage > 99) else { return usize::MAX };\n"),
    (22, "a soaked instance counts as failed when it is lost", "src/rollout/state/observe.rs",
     "                _ if history.soaked => continue,\n",
     ""),
    (22, "instances on another revision are replaced for ever", "src/rollout/planner/stop_conditions.rs",
     "    is_batch.then_some(message)\n",
     "    is_batch.then_some(message).filter(|message| message.is_empty())\n"),
    (22, "instances that were missing before count as failed", "src/rollout/planner/stop_conditions.rs",
     "    if before == late {\n",
     "    if before > late {\n"),
    (17, "an interrupted rollout begins anew", "src/rollout/planner/borrow.rs",
     "            continue_record(input, found)\n",
     "            begin(input, view, Some(found))\n"),
    (21, "surge is taken off a size that somebody set", "src/rollout/state/sizes.rs",
     "        self.set_by_others(shown.desired, at);\n        fewer",
     "        self.set_by_others(shown.desired, at);\n        self.size -= fewer;\n        fewer"),
    (21, "a removal that hit another size is not corrected", "src/rollout/state/sizes.rs",
     "was.filter(|was| *was != self.desired)",
     "was.filter(|was| *was > self.desired + 1000)"),
    (21, "a size on the way back counts as somebody else's", "src/rollout/planner/retire.rs",
     "let is_said = record.gives_back || record.phase != Phase::Rolling;",
     "let is_said = record.gives_back || record.phase == Phase::Rolling;"),
    (21, "a maximum that somebody set counts as ours", "src/rollout/planner/borrow.rs",
     "record.max_before(before)",
     "record.borrowed.max.map(|max| max.found)"),
    (22, "continuous waits like batches", "src/rollout/planner/roll.rs",
     "if view.busy() > 0 && !is_continuous {",
     "if view.busy() > 0 && (!is_continuous || view.missing < 1) {"),
    (22, "one deadline for all missing instances", "src/rollout/state/missing.rs",
     "let places = self.places.drain(..filled).chain(",
     "let places = self.places.clone().into_iter().chain("),
    (1, "a size is lowered while launches are on their way", "src/rollout/planner/view.rs",
     "u32::try_from(late.saturating_sub(input.state.launches.coming))",
     "u32::try_from(late)"),
    (25, "good instances go in the place of protected ones", "src/rollout/planner/roll.rs",
     "let waits = view.old().any(|member| member.set_aside);",
     "let waits = false;"),
    (22, "an instance that dies at once starts its deadline anew", "src/rollout/state/missing.rs",
     "let since = if was.lost == 0 { now } else { was.since };",
     "let since = now.max(was.since);"),
    (16, "a size that shrank leaves as much to do", "src/rollout/state/best.rs",
     "u64::from(size).saturating_sub(count as u64);",
     "u64::from(size.max(self.largest)).saturating_sub(count as u64);"),
    (16, "a fleet that swings gains time", "src/rollout/state/best.rs",
     "            if size > self.largest {\n",
     "            if size != self.largest {\n"),
    (10, "a place that is given up leaves its deadline", "src/rollout/state/missing.rs",
     "        self.places.drain(..given_up);\n",
     "        let _ = given_up;\n"),
    (20, "alarms replace the command", "src/rollout/state/gates.rs",
     "            && (self.probes || !other.probes)\n",
     ""),
    (20, "a checkpoint comes before its gate", "src/rollout/planner/roll.rs",
     "    if gate::is_closed(input, view) {\n        gate::ask(input, view, plan);\n        return true;",
     "    if gate::is_closed(input, view) && pace::checkpoint(input).is_none() {\n"
     "        gate::ask(input, view, plan);\n        return true;"),
    (25, "protected instances are given back as surplus", "src/rollout/planner/batch.rs",
     "view.members.iter().filter(|m| !m.spared && !m.is_victim)",
     "view.members.iter().filter(|m| !m.is_victim)"),
    # Without a promise: what Terraform is told, above all.
    (0, "what a user nests is no block", "src/frontends/terraform/schema.rs",
     "            _ => Kind::Block(attributes(root, schema, presence)),",
     "            _ => Kind::Object(attributes(root, schema, presence)),"),
    (0, "a list of one block is no block", "src/document/block.rs",
     "Value::Array(items) if items.len() == 1 && items[0].is_object() => {",
     "Value::Array(items) if items.len() > 9 && items[0].is_object() => {"),
    (0, "a plan that rolls nothing leaves the outcome open", "src/frontends/terraform/provider/plan.rs",
     "if is_update && matches!(intent.rolls, Rolls::Nothing) {",
     "if is_update && matches!(intent.rolls, Rolls::Nothing) && change.prior[\"id\"] == 0 {"),
    (0, "a refresh takes the figures of a plan back", "src/frontends/terraform/provider.rs",
     "    for name in resource_state::computed(KnownBy::Plan) {\n        now[name] = prior[name].clone();\n    }\n",
     ""),
    (0, "a pause that somebody has ended stays", "src/frontends/terraform/provider.rs",
     "        _ if is_back => (\"rolled_back\",",
     "        _ if is_back => (before,"),
    (0, "a resume outside Terraform is not believed", "src/frontends/terraform/provider.rs",
     "        _ if is_as_sought => (\"succeeded\", Value::Null),",
     "        _ if is_as_sought => (before, Value::Null),"),
    (0, "a plan that rolls nothing is a promise", "src/frontends/terraform/provider/change.rs",
     "        if !rollout.preview().changes {\n            return Ok(());",
     "        if !rollout.preview().target.is_empty() {\n            return Ok(());"),
    (0, "the record decides what an apply has told already", "src/frontends/terraform/provider.rs",
     "        if is_told_already(prior, rollout, status, reason.as_deref()) {",
     "        if is_told_already(prior, rollout, status, None) {"),
    (0, "a version that begins to show between two calls is refused",
     "providers/aws/src/template.rs",
     "known.contains(&version) || next == Some(version)", "next == Some(version)"),
    (0, "a server runs commands although none may run", "src/frontends/json_rpc/methods.rs",
     "        self.check_commands(config)?;\n", ""),
    (0, "a state that a peer hands back is taken unchecked",
     "src/frontends/json_rpc/methods.rs",
     "let Some(first) = found.first() else", "let Some(first) = found.get(99) else"),
    (0, "a lock follows a link", "providers/simulator/src/state_file.rs",
     "options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());",
     "options.mode(0o600);"),
    (26, "victims leave before their hook is over", "src/rollout/planner/hook/prepare.rs",
     "let mut ready: Vec<&Member<'_>> = victims.into_iter().filter(|m| !waits(m)).collect();",
     "let mut ready: Vec<&Member<'_>> = victims;"),
    (26, "a hook that is recorded as done is run again", "src/rollout/state/adopt.rs",
     "let Some(hooks) = hooks.filter(|hooks| hooks.prepared && is_ours) else { return };",
     "let Some(hooks) = hooks.filter(|hooks| !hooks.prepared && is_ours) else { return };"),
    (26, "what another rollout prepared is prepared", "src/rollout/state/adopt.rs",
     "let is_ours = self.standing(target).is_some() || self.direction.halt.is_some();",
     "let is_ours = self.standing(target).is_some() || !self.observed_once;"),
    (26, "a hook that is run again has another id", "src/rollout/planner/hook/ask.rs",
     "format!(\"{}.{}.{}.{fingerprint}\", record.id, point.name(), hooks.number)",
     "format!(\"{}.{}.{}.{fingerprint}\", input.state.rollout_id, point.name(), hooks.number)"),
    (26, "another outcome has the same id", "src/rollout/planner/hook/ask.rs",
     "let outcome = outcome.map_or(\"\", Outcome::name);",
     "let outcome = outcome.map_or(\"\", |_| \"\");"),
    (26, "a batch is lost with its record", "src/rollout/planner/hook/open_batch.rs",
     "    if !recorded.is_some_and(is_there) {",
     "    if recorded.is_some_and(|it| it.batch > batch.number && is_there(it)) {"),
    (26, "newcomers of a batch have no after_healthy", "src/rollout/planner/hook/batch.rs",
     "(Some(greeted), false) => launched.is_some_and(|at| at <= greeted),",
     "(Some(greeted), false) => launched.is_some_and(|at| at <= greeted || at > greeted),"),
    (26, "a hook ends with the plan that began it", "src/rollout/planner/hook/ask.rs",
     "run.point != HookPoint::BeforeDeregister || run",
     "run.point == HookPoint::AfterRollout || run"),
    (0, "what restores waits for before_rollback", "src/rollout/planner/roll.rs",
     "    plan.actions.extend(retire::register_again(input, &BTreeSet::new()));\n    plan.actions.extend(release(input));\n",
     "    plan.actions.extend(release(input));\n"),
    (0, "a hook without addresses is not run", "src/engine/hook_runner.rs",
     "        let result = self.tries(HookMessage { instances, ..message }).await;",
     "        let result = match warning {\n            Some(_) => Err(GateFailure::NoAnswer),\n            None => self.tries(HookMessage { instances, ..message }).await,\n        };"),
    (0, "alarms are not watched while a hook is run", "src/rollout/planner/gate.rs",
     "if is_forward && plan.hook.is_some() && plan.asks.is_none() {",
     "if !is_forward && plan.hook.is_some() && plan.asks.is_none() {"),
    (0, "who resumes at a checkpoint is not heard", "src/rollout/planner/borrow.rs",
     "since.is_some() || reached || record.reached_at().is_some();",
     "since.is_some() || reached;"),
    (26, "whoever was put back is not prepared again", "src/rollout/planner/halt.rs",
     "hooks: record.hooks.clone().map(HookRecord::unprepared),",
     "hooks: record.hooks.clone(),"),
    (26, "the floor is forgotten while a hook is run", "src/rollout/planner/hook/prepare.rs",
     "let mut lacking = (view.window.floor() as usize).saturating_sub(surely);",
     "let mut lacking = (view.window.floor() as usize).saturating_sub(surely).min(0);"),
    (26, "a batch is over that a dead engine never began", "src/rollout/planner/hook/batch.rs",
     "    !view.candidates().any(stay) && (is_known || !fresh.is_empty())",
     "    view.candidates().any(stay) || is_known || !fresh.is_empty()"),
    (26, "all instances are new ones of the batch", "src/rollout/planner/hook/batch.rs",
     "hooks.since.is_none_or(|s| at > s)",
     "hooks.since.is_none_or(|s| at >= s || at < s)"),
    (26, "before_rollout comes after what is borrowed", "src/rollout/planner/hook/whole.rs",
     "    forward && !hooks.began && input",
     "    !forward && !hooks.began && input"),
    (0, "a hook's time is lack of progress", "src/rollout/planner/answer.rs",
     "[WaitKind::Gate, WaitKind::Hook, WaitKind::Pause, WaitKind::Termination]",
     "[WaitKind::Gate, WaitKind::Pause, WaitKind::Termination]"),
    (0, "a hook prevents the way back", "src/rollout/hooks.rs",
     "_ if passed || !forward || run.point.only_reports() => HookNext::Continue,",
     "_ if passed || run.point == HookPoint::AfterRollout => HookNext::Continue,"),
    (0, "a pause is an end with a hook", "src/rollout/planner/halt.rs",
     "Ending::Paused | Ending::Interrupted => None,",
     "Ending::Paused | Ending::Interrupted => Some(Outcome::Paused),"),
    (0, "a gate's command is run once", "src/engine/probe.rs",
     "    let most = left.checked_sub(LAST_TRY).filter(|most| !most.is_zero())?;",
     "    let most = left.checked_sub(LAST_TRY).filter(|most| most.is_zero())?;"),
    (0, "a checkpoint's time begins anew with each engine", "src/rollout/planner/pace.rs",
     "let since = input.state.record.as_ref()?.reached_at()?;",
     "let since = input.state.waits.at_checkpoint?;"),
    (0, "a gate's answer shows its secrets", "src/engine/secrets.rs",
     "                if found == *secret {",
     "                if found == *secret && found.is_empty() {"),
    (0, "a rollout is resumed without what its gate needs", "src/frontends/cli/follow.rs",
     "filter(|name| !(context.is_set)(name)).collect();",
     "filter(|name| (context.is_set)(name)).collect();"),
    (0, "a refresh that AWS calls successful is believed", "src/rollout/instance_refresh/following.rs",
     "let idle = idle(found.spec, found.target, found.look)?;",
     "let idle = idle(found.spec, found.target, found.look).filter(|_| false)?;"),
    (0, "an instance that is not there serves", "src/rollout/instance_refresh/follow.rs",
     "if idle.is_empty() && missing == 0 {",
     "if idle.is_empty() {"),
    (0, "no target group is asked about a refresh", "src/rollout/instance_refresh/follow.rs",
     "            && is_healthy_in_primary(target, instance)\n",
     ""),
    (0, "what only the provider sets is left out", "src/frontends/terraform/provider/request.rs",
     "            computed.extend(given.filter(|given| !given.is_null()).map(|_| name));",
     "            computed.extend(given.filter(Value::is_null).map(|_| name));"),
    (0, "what an apply keeps is not what a refresh sees", "src/frontends/terraform/provider/change.rs",
     "        looked.ok().map(|rollout| PrivateState::of(&rollout))",
     "        looked.ok().map(|rollout| PrivateState::of(&rollout)).filter(|_| false)"),
    (0, "numbers go in binary", "src/frontends/terraform/value.rs",
     "        Packed::Integer(number) => Packed::from(number.to_string()),",
     "        Packed::Integer(_) => packed.clone(),"),
    (0, "a plan does not tell who is at work", "src/frontends/terraform/provider/plan.rs",
     "    if rollout.lease().is_none() {",
     "    if rollout.lease().is_none_or(|_| true) {"),
    (0, "the rollout of an unknown version is not reported", "src/frontends/terraform/provider/intent.rs",
     "            Rolls::IfVersionChanges(private_state.preview(&spec, &another_version()))",
     "            Rolls::NotKnown(vec![private_state.preview(&spec, &another_version()).target])"),
    (0, "a time-out counts as an abort by command", "src/frontends/terraform/provider/change/rollout.rs",
     "    if report.outcome == Outcome::Aborted {",
     "    if report.outcome == Outcome::Failed {"),
    (0, "secrets go into progress files", "src/document/secret.rs",
     "                (!is_sensitive(root, schema)).then(",
     "                schema.is_object().then("),
    (0, "what is unknown of a provider is missing", "src/document/unknown.rs",
     "    found.retain(|finding| !is_below(&finding.pointer, unknown) && !is_missing(finding));",
     "    found.retain(|finding| !is_below(&finding.pointer, unknown) || is_missing(finding));"),
    (0, "an error shows a secret", "src/document/schema_check.rs",
     "            let shown = if is_sensitive(self.root, schema) {",
     "            let shown = if is_sensitive(self.root, &Value::Null) {"),
    (0, "a refusal half-way does not roll back", "src/rollout/planner/refusal.rs",
     "OnFailure::Rollback if is_half_way(input) =>",
     "OnFailure::Rollback if is_half_way(input) && input.look.instances.is_empty() =>"),
    (0, "a refusal before anything was done rolls back", "src/rollout/planner/refusal.rs",
     "        && live.any(|instance| target.wants(instance))",
     "        && live.any(|instance| instance.revision.is_some())"),
    (0, "a fleet does not scale while it bakes", "src/rollout/planner/roll.rs",
     "        plan.actions.extend(halt::resume_scaling(input, record));\n",
     ""),
    (0, "scaling starts the bake time anew", "src/rollout/gates.rs",
     "let still_running = baking.is_some() && View",
     "let still_running = plan.bakes() && baking.is_some() && View"),
    (0, "a scheduled size of the bake time is set again", "src/rollout/planner/roll.rs",
     "    (!is_done).then_some(latest)",
     "    (!is_done || latest.at > input.state.started).then_some(latest)"),
    (0, "an instance where the requests go counts as tried", "src/rollout/planner/shift.rs",
     "let settled = is_at(input.look, 100) || (is_back(input) && was);",
     "let settled = is_at(input.look, 100) || (is_back(input) && (was || !was));"),
    (0, "a low layer uses a high one by name", "src/model/limits.rs",
     "use std::time::Duration;\n",
     "use std::time::Duration;\n\n#[allow(unused_imports)]\nuse crate::engine::Caller;\n"),
    (0, "a low layer uses a high one by super", "src/model/limits.rs",
     "use std::time::Duration;\n",
     "use std::time::Duration;\n\n#[allow(unused_imports)]\nuse super::super::engine::Caller;\n"),
    (0, "a low layer hands a high one on", "src/model/limits.rs",
     "use std::time::Duration;\n",
     "use std::time::Duration;\n\n#[allow(unused_imports)]\npub use crate::engine::Caller;\n"),
    (0, "a low layer names a high one within", "src/model/limits.rs",
     "use std::time::Duration;\n",
     "use std::time::Duration;\n\nconst _: Option<crate::engine::Caller> = None;\n"),
]


def copy_to(folder: pathlib.Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


# The tests that look for mutants: not those that hold the source itself to rules.
FAST = [
    "commands",
    "conformance",
    "crash",
    "documents",
    "faults",
    "following",
    "frozen",
    "gates",
    "hooks",
    "guarded",
    "layers",
    "meanwhile",
    "model",
    "outcomes",
    "planned",
    "planner",
    "plugin",
    "printed",
    "properties",
    "protocol",
    "rollback_after",
    "rollout",
    "shift",
    "sizes",
    "sources",
    "state_files",
    "stdio",
    "support",
    "termination",
]


def command_for(file: str) -> tuple[list[str], str]:
    """Returns the tests for a mutant of this file, and how their failures are printed."""
    if file.startswith("providers/aws/"):
        return ["cargo", "test", "-q", "-p", "rolling-aws", "--lib"], r"^(\S+) --- FAILED$"
    only = ["--no-default-features", "-p", "rolling", "--lib", "--test", "it"]
    if shutil.which("cargo-nextest"):
        wanted = "kind(lib) + test(/^fast::(%s)::/)" % "|".join(FAST)
        noticed = r"^ +(?:FAIL|TIMEOUT|SIG\S+) \[.*\] (?:\(.*\) )?\S+ (\S+)$"
        return ["cargo", "nextest", "run", *only, "--fail-fast", "-E", wanted], noticed
    wanted = ["tests::", *(f"fast::{name}::" for name in FAST)]
    return ["cargo", "test", "-q", *only, "--", *wanted], r"^(\S+) --- FAILED$"


def test(folder: pathlib.Path, file: str) -> tuple[bool, str]:
    """Returns whether the tests pass, and the first ones that fail."""
    command, noticed = command_for(file)
    environment = dict(
        os.environ,
        PROPTEST_CASES="48",
        PROPTEST_MAX_SHRINK_ITERS="0",
        # All mutants, and the next run, share what is built of the dependencies.
        CARGO_TARGET_DIR=str(ROOT / "target" / "mutants"),
    )
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=1200)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return False, "it never ends"
    # The cases that failed for one mutant are not tried first for the next.
    shutil.rmtree(folder / "tests" / "regressions", ignore_errors=True)
    failed = list(dict.fromkeys(re.findall(noticed, printed, re.MULTILINE)))
    if process.returncode and not failed:
        return False, "IT DOES NOT COMPILE: " + printed[-400:]
    return process.returncode == 0, ", ".join(failed[:3])


def fits(name: str, file: str, there: str) -> bool:
    """Returns whether the source has the text that a mutant replaces, and reports it if not."""
    is_there = there in (ROOT / file).read_text()
    if not is_there:
        print(f"{name}: NO LONGER FITS {file}, where there is no\n{there}", flush=True)
    return is_there


def run(part: str) -> int:
    """Returns how many mutants survive or cannot be tried."""
    bad = 0
    # Always the same folder, so that the next run can use what was built.
    folder = ROOT / "target" / "mutants" / "source"
    shutil.rmtree(folder, ignore_errors=True)
    copy_to(folder)
    for promise, name, file, there, instead in MUTANTS:
        if part not in name:
            continue
        if not fits(name, file, there):
            bad += 1
            continue
        source = (ROOT / file).read_text()
        # The last occurrence, if there are several.
        before, after = source.rsplit(there, 1)
        (folder / file).write_text(before + instead + after)
        passed, noticed = test(folder, file)
        (folder / file).write_text(source)
        bad += passed or "COMPILE" in noticed
        print(f"{promise:>2}  {name}: {'SURVIVED' if passed else noticed}", flush=True)
    return bad


def main() -> int:
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    if part == "--check":
        bad = sum(not fits(name, file, there) for _, name, file, there, _ in MUTANTS)
    else:
        bad = run(part)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
