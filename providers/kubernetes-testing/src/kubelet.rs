//! The scheduler and the kubelet: a pod's life by the tag of its image.
//!
//! No container runs. What a pod shows, with its events, is what the real ones show
//! (`pkg/kubelet/kuberuntime`, `pkg/kubelet/images`, `pkg/scheduler`).

mod images;
mod pod_status;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use self::pod_status::End;
use super::cluster_settings::PodBehaviour;
use super::cluster_state::ClusterState;
use super::json_pointer::{int, list, set, text};
use super::managed_fields::Manager;
use super::object_kind::ObjectKind;
use super::object_store::Key;
use super::recorder;
use super::work_queue::{PodStep, WorkItem};
use super::workload::is_terminating;

const KUBELET: &str = "kubelet";

/// One pod, at one step.
struct PodRun<'a> {
    state: &'a mut ClusterState,
    key: &'a Key,
    pod: Value,
    /// The container that does not do as a good one does, or the first.
    container: String,
    image: String,
    behaviour: PodBehaviour,
}

/// Takes a step of a pod's life, if the pod is still there.
pub fn step(state: &mut ClusterState, key: &Key, uid: &str, step: PodStep) {
    let Some(pod) = state.store.get(key).filter(|pod| text(pod, "/metadata/uid") == uid) else {
        return;
    };
    let pod = (**pod).clone();
    if is_terminating(&pod) && !matches!(step, PodStep::Terminate | PodStep::Remove) {
        return;
    }
    let (container, image, behaviour) = images::odd_one(&pod);
    let mut here = PodRun { state, key, pod, container, image, behaviour };
    match step {
        PodStep::Schedule => here.schedule(),
        PodStep::Start => here.start(),
        PodStep::Pull => here.pull(),
        PodStep::BackOff => here.pull_back_off(),
        PodStep::Run => here.run(),
        PodStep::Ready => here.ready(true),
        PodStep::Unready => here.ready(false),
        PodStep::Probe => here.probe(),
        PodStep::Gates => here.gates(),
        PodStep::Exit => here.exit(),
        PodStep::Terminate => here.terminate(),
        PodStep::Remove => here.remove(),
    }
}

impl PodRun<'_> {
    fn after(&mut self, wait: Duration, step: PodStep) {
        let uid = text(&self.pod, "/metadata/uid").to_owned();
        let at = self.state.now + wait;
        self.state.queue.add_later(WorkItem::Pod(self.key.clone(), uid, step), at);
    }

    /// Writes the pod with its conditions.
    fn write(&mut self) {
        pod_status::conditions(&mut self.pod, self.state.now);
        self.write_as("kubelet");
    }

    fn write_as(&mut self, who: &str) {
        let new = self.pod.clone();
        self.state.update(self.key, &Manager::status(who), |pod| *pod = new);
    }

    fn normal(&mut self, reason: &str, message: &str) {
        recorder::normal(self.state, &self.pod, KUBELET, reason, message);
    }

    fn warning(&mut self, reason: &str, message: &str) {
        recorder::warning(self.state, &self.pod, KUBELET, reason, message);
    }

    /// `NAME_NAMESPACE(UID)`, as the kubelet names a pod in messages.
    fn full_name(&self) -> String {
        let uid = text(&self.pod, "/metadata/uid");
        format!("{}_{}({uid})", self.key.name, self.key.namespace)
    }

    fn schedule(&mut self) {
        let now = self.state.now;
        let nodes = self.state.settings.nodes.clone();
        if self.behaviour == PodBehaviour::Unschedulable || nodes.is_empty() {
            let count = nodes.len();
            let message = format!(
                "0/{count} nodes are available: {count} Insufficient cpu. preemption: 0/{count} nodes are \
                 available: {count} No preemption victims found for incoming pod."
            );
            pod_status::put(
                &mut self.pod,
                "PodScheduled",
                false,
                Some(("Unschedulable", &message)),
                now,
            );
            self.write_as("kube-scheduler");
            let about = &self.pod;
            recorder::warning(self.state, about, "default-scheduler", "FailedScheduling", &message);
            return;
        }
        let node = self.emptiest(&nodes);
        set(&mut self.pod, "/spec/nodeName", node.clone());
        pod_status::put(&mut self.pod, "PodScheduled", true, None, now);
        self.write_as("kube-scheduler");
        let (namespace, name) = (&self.key.namespace, &self.key.name);
        let message = format!("Successfully assigned {namespace}/{name} to {node}");
        recorder::normal(self.state, &self.pod, "default-scheduler", "Scheduled", &message);
        self.after(Duration::from_millis(20), PodStep::Start);
    }

    /// Returns the node with the fewest pods, so that zones stay even.
    fn emptiest(&self, nodes: &[(String, String)]) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let pods = self.state.store.list(ObjectKind::Pod, None);
        for pod in &pods {
            *counts.entry(text(pod, "/spec/nodeName")).or_default() += 1;
        }
        let count = |node: &str| counts.get(node).copied().unwrap_or(0);
        let node = nodes.iter().min_by_key(|(node, _)| count(node));
        node.map(|(node, _)| node.clone()).unwrap_or_default()
    }

    fn start(&mut self) {
        let nodes = &self.state.settings.nodes;
        let node = nodes.iter().position(|(node, _)| node == text(&self.pod, "/spec/nodeName"));
        pod_status::begin(&mut self.pod, node.unwrap_or(0), self.state.now);
        self.write();
        let boot = self.state.settings.times.boot;
        match self.behaviour {
            PodBehaviour::NoImage | PodBehaviour::InvalidName | PodBehaviour::ConfigError => {
                self.after(boot / 4, PodStep::Pull);
            }
            _ => {
                let slow = if self.behaviour == PodBehaviour::Slow {
                    self.state.settings.times.slow
                } else {
                    1
                };
                let boot = self.state.random.between(boot, boot + boot / 3) * slow;
                self.after(boot, PodStep::Run);
            }
        }
    }

    /// An image is pulled, or a container made, and that fails.
    fn pull(&mut self) {
        let (container, image) = (self.container.clone(), self.image.clone());
        match self.behaviour {
            PodBehaviour::InvalidName => {
                let message = images::invalid(&image);
                pod_status::waiting(&mut self.pod, &container, "InvalidImageName", &message);
                self.write();
                self.warning("InspectFailed", &message);
                self.warning("Failed", "Error: InvalidImageName");
            }
            PodBehaviour::ConfigError => {
                let message = "configmap \"web-config\" not found";
                pod_status::waiting(
                    &mut self.pod,
                    &container,
                    "CreateContainerConfigError",
                    message,
                );
                self.write();
                self.normal("Pulled", &images::present(&image));
                self.warning("Failed", &format!("Error: {message}"));
            }
            _ => {
                let message = images::not_found(&image);
                pod_status::waiting(&mut self.pod, &container, "ErrImagePull", &message);
                self.write();
                self.normal("Pulling", &format!("Pulling image \"{image}\""));
                self.warning("Failed", &format!("Failed to pull image \"{image}\": {message}"));
                self.warning("Failed", "Error: ErrImagePull");
                let wait = self.state.settings.times.back_off;
                self.after(wait / 5, PodStep::BackOff);
            }
        }
    }

    fn pull_back_off(&mut self) {
        let (container, image) = (self.container.clone(), self.image.clone());
        let message = format!("Back-off pulling image \"{image}\"");
        let long = format!("{message}: ErrImagePull: {}", images::not_found(&image));
        pod_status::waiting(&mut self.pod, &container, "ImagePullBackOff", &long);
        self.write();
        self.normal("BackOff", &message);
        self.warning("Failed", "Error: ImagePullBackOff");
        let pulls = images::failed_pulls(self.state, &self.pod);
        let wait = images::back_off(self.state.settings.times.back_off, pulls);
        self.after(wait, PodStep::Pull);
    }

    /// The containers start: at first all of them, later the one that ended.
    fn run(&mut self) {
        let now = self.state.now;
        let odd = self.container.clone();
        let initial = images::is_init(&self.pod, &odd) && self.behaviour != PodBehaviour::Good;
        for container in list(&self.pod.clone(), "/spec/initContainers") {
            let name = text(container, "/name");
            pod_status::running(&mut self.pod, name, now);
            if initial && name == odd {
                break;
            }
            let end = End { code: 0, reason: "Completed", message: "" };
            pod_status::terminated(&mut self.pod, name, &end, now);
        }
        if !initial {
            for container in list(&self.pod.clone(), "/spec/containers") {
                let name = text(container, "/name");
                let running = images::is_running(&self.pod, name);
                if !running {
                    pod_status::running(&mut self.pod, name, now);
                    self.normal("Pulled", &images::present(text(container, "/image")));
                    self.normal("Created", &format!("Created container {name}"));
                    self.normal("Started", &format!("Started container {name}"));
                }
            }
            let address = images::address(&self.pod);
            set(&mut self.pod, "/status/podIP", address);
        }
        self.write();
        let times = self.state.settings.times;
        match self.behaviour {
            PodBehaviour::Crash | PodBehaviour::OutOfMemory => {
                self.after(times.crash, PodStep::Exit)
            }
            PodBehaviour::Unhealthy => {
                self.after(times.probe.min(Duration::from_secs(1)), PodStep::Probe)
            }
            _ => self.after(times.ready, PodStep::Ready),
        }
    }

    fn ready(&mut self, is: bool) {
        pod_status::ready(&mut self.pod, is);
        self.write();
        let times = self.state.settings.times;
        if self.behaviour == PodBehaviour::Flap {
            let (up, down) = times.flap;
            let next = if is { (up, PodStep::Unready) } else { (down, PodStep::Ready) };
            self.after(next.0, next.1);
            if !is {
                self.warning("Unhealthy", images::PROBE_FAILED);
            }
        }
        if is && !list(&self.pod, "/spec/readinessGates").is_empty() {
            self.after(times.gate, PodStep::Gates);
        }
    }

    fn probe(&mut self) {
        self.warning("Unhealthy", images::PROBE_FAILED);
        let wait = self.state.settings.times.probe;
        self.after(wait, PodStep::Probe);
    }

    /// The load balancer has looked at the pod. A gate that is held is looked at again.
    fn gates(&mut self) {
        let (now, paused_sizes) = (self.state.now, self.state.door.held_gates);
        for gate in list(&self.pod.clone(), "/spec/readinessGates") {
            let kind = text(gate, "/conditionType");
            let why = paused_sizes.then_some(("Target.FailedHealthChecks", "Health checks failed"));
            pod_status::put(&mut self.pod, kind, !paused_sizes, why, now);
        }
        self.write();
        if paused_sizes {
            let wait = self.state.settings.times.gate;
            self.after(wait, PodStep::Gates);
        }
    }

    /// A container ends. The first time it starts again at once, then after a pause.
    fn exit(&mut self) {
        let (now, container) = (self.state.now, self.container.clone());
        let end = if self.behaviour == PodBehaviour::OutOfMemory {
            End { code: 137, reason: "OOMKilled", message: "" }
        } else {
            End { code: 1, reason: "Error", message: images::TERMINATION_MESSAGE }
        };
        pod_status::terminated(&mut self.pod, &container, &end, now);
        let restarts = images::restarts(&self.pod, &container);
        if restarts == 0 {
            self.write();
            return self.after(Duration::from_millis(500), PodStep::Run);
        }
        let wait = images::back_off(self.state.settings.times.back_off, restarts);
        let (seconds, pod) = (images::go_duration(wait), self.full_name());
        let message =
            format!("back-off {seconds} restarting failed container={container} pod={pod}");
        pod_status::back_off(&mut self.pod, &container, &message);
        self.write();
        let message = format!("Back-off restarting failed container {container} in pod {pod}");
        self.warning("BackOff", &message);
        self.after(wait, PodStep::Run);
    }

    /// Queues the end of a pod that is being deleted: after its drain; one that hangs, or that has
    /// a shorter grace period, after that.
    fn terminate(&mut self) {
        let grace = int(&self.pod, "/metadata/deletionGracePeriodSeconds", 30);
        let grace = Duration::from_secs(grace.unsigned_abs());
        let hangs = |one: &Value| PodBehaviour::of_image(text(one, "/image")) == PodBehaviour::Hang;
        let containers = list(&self.pod, "/spec/containers").to_vec();
        let drain = self.state.settings.times.drain.min(grace);
        let after = match (text(&self.pod, "/status/phase"), containers.iter().any(hangs)) {
            // No container has begun, so that none is to end.
            ("Pending", _) => drain.min(Duration::from_millis(100)),
            (_, true) => grace,
            _ => drain,
        };
        for container in &containers {
            self.normal("Killing", &format!("Stopping container {}", text(container, "/name")));
        }
        self.after(after, PodStep::Remove);
    }

    fn remove(&mut self) {
        if !is_terminating(&self.pod) {
            return;
        }
        if self.state.door.stuck_pods {
            return self.after(Duration::from_secs(1), PodStep::Remove);
        }
        self.state.delete(self.key);
    }
}
