//! The API server: who may ask what, what goes wrong, and the answers.

pub mod api_request;
mod discovery;
mod reads;
mod server_side_apply;
pub mod watch;
mod writes;

use std::time::Duration;

use serde_json::{Value, json};

use self::api_request::{ApiRequest, ApiResponse, Delivery, Route};
use super::api_error::ApiError;
use super::cluster_state::ClusterState;
use super::door::{ApiCall, ApiFault};
use super::json_pointer::{at, text};
use super::object_kind::ObjectKind;

/// The path of reviews of access.
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// Answers a request, with what the door does to it.
pub fn answer(state: &mut ClusterState, request: &ApiRequest) -> ApiResponse {
    let route = Route::read(&request.path).filter(|route| is_served(state, route));
    let mut call = described(state, request, route.as_ref());
    let faults = state.door.faults(&call);
    let mut answer = match before(&faults, &call, route.as_ref()) {
        Some(early) => early,
        None => {
            let reached = reach(state, request, route.as_ref(), &call, &faults);
            let reached = reached.unwrap_or_else(|error| ApiResponse::refused(&error));
            after(&faults, reached)
        }
    };
    for fault in &faults {
        if let (ApiFault::Slow(time), Delivery::After(_)) = (fault, answer.delivery) {
            answer.delivery = Delivery::After(*time);
        }
    }
    call.status = if answer.delivery == Delivery::Dropped { 0 } else { answer.status };
    state.calls.push(call);
    answer
}

/// Resources of the load balancer's controller are served where there is one.
fn is_served(state: &ClusterState, route: &Route) -> bool {
    route.kind != ObjectKind::TargetGroupBinding
        || !state.store.list(ObjectKind::TargetGroupBinding, None).is_empty()
}

fn described(state: &ClusterState, request: &ApiRequest, route: Option<&Route>) -> ApiCall {
    let unlabelled = || request.path.rsplit('/').next().unwrap_or_default().to_owned();
    let verb = match request.method.as_str() {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "get",
    };
    ApiCall {
        at: state.now,
        number: state.calls.len() + 1,
        verb: route.and_then(|route| route.verb(request)).unwrap_or(verb),
        resource: route.map_or_else(unlabelled, |route| route.kind.info().plural.to_owned()),
        subresource: route.map(|route| route.subresource.clone()).unwrap_or_default(),
        namespace: route.and_then(|route| route.namespace.clone()).unwrap_or_default(),
        name: route.map(|route| route.name.clone()).unwrap_or_default(),
        dry_run: request.dry_run(),
        status: 0,
    }
}

/// What keeps a request from having an effect.
fn before(faults: &[ApiFault], call: &ApiCall, route: Option<&Route>) -> Option<ApiResponse> {
    let kind = route.map_or(ObjectKind::Deployment, |route| route.kind);
    faults.iter().find_map(|fault| {
        let error = match fault {
            ApiFault::TooManyRequests(seconds) => ApiError::too_many_requests(*seconds),
            ApiFault::InternalError => ApiError::internal(),
            ApiFault::Unavailable => ApiError::unavailable(),
            ApiFault::Gone => ApiError::gone(),
            ApiFault::ApiResponse(code, reason, message) => {
                ApiError { code: *code, reason, message: message.clone(), details: json!({}) }
            }
            // Mutating and validating webhooks see writes only.
            ApiFault::Webhook(name, sentence) if !matches!(call.verb, "get" | "list" | "watch") => {
                let message =
                    format!("admission webhook \"{name}\" denied the request: {sentence}");
                ApiError::forbidden(kind, &call.name, message)
            }
            ApiFault::DroppedBefore => return Some(dropped()),
            _ => return None,
        };
        Some(ApiResponse::refused(&error))
    })
}

fn dropped() -> ApiResponse {
    ApiResponse { delivery: Delivery::Dropped, ..ApiResponse::new(0, Value::Null) }
}

/// What happens to an answer after the effect.
fn after(faults: &[ApiFault], answer: ApiResponse) -> ApiResponse {
    let changed = faults.iter().find_map(|fault| match fault {
        ApiFault::DroppedAfter => Some(dropped()),
        ApiFault::Timeout => Some(ApiResponse::refused(&ApiError::timeout())),
        _ => None,
    });
    changed.unwrap_or(answer)
}

fn reach(
    state: &mut ClusterState,
    request: &ApiRequest,
    route: Option<&Route>,
    call: &ApiCall,
    faults: &[ApiFault],
) -> Result<ApiResponse, ApiError> {
    if let Some(token) = &state.settings.token
        && request.header("authorization") != format!("Bearer {token}")
    {
        return Err(ApiError::unauthorized());
    }
    let Some(route) = route else { return unrouted(state, request) };
    let Some(verb) = route.verb(request) else { return Err(ApiError::method_not_allowed()) };
    if state.door.denies(call) {
        let namespace = call.namespace.as_str();
        return Err(ApiError::not_allowed(
            &state.settings.user,
            verb,
            route.kind,
            &route.subresource,
            namespace,
            &route.name,
        ));
    }
    if matches!(verb, "get" | "list" | "watch") {
        let ago = |fault: &ApiFault| match fault {
            ApiFault::Stale(ago) => Some(*ago),
            _ => None,
        };
        let as_of: Option<Duration> = faults.iter().find_map(ago);
        let as_of = as_of.map(|ago| state.now.saturating_sub(ago));
        reads::answer(state, verb, route, request, as_of)
    } else {
        writes::answer(state, verb, route, request)
    }
}

/// Answers what is no object: discovery, and reviews of access.
fn unrouted(state: &ClusterState, request: &ApiRequest) -> Result<ApiResponse, ApiError> {
    if request.path == REVIEWS {
        return match request.method.as_str() {
            "POST" => review(state, &request.json()?),
            _ => Err(ApiError::method_not_allowed()),
        };
    }
    let found = discovery::answer(&request.path, state.settings.version);
    let found = found.filter(|_| request.method == "GET");
    found.map(|body| ApiResponse::new(200, body)).ok_or_else(ApiError::no_such_path)
}

/// `SelfSubjectAccessReview`: the door's rules say what is allowed.
fn review(state: &ClusterState, document: &Value) -> Result<ApiResponse, ApiError> {
    const VERBS: [&str; 8] =
        ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    let asked = at(document, "/spec/resourceAttributes");
    let verb = VERBS.into_iter().find(|verb| *verb == text(asked, "/verb"));
    let call = ApiCall {
        at: state.now,
        number: 0,
        verb: verb.unwrap_or_default(),
        resource: text(asked, "/resource").to_owned(),
        subresource: text(asked, "/subresource").to_owned(),
        namespace: text(asked, "/namespace").to_owned(),
        name: text(asked, "/name").to_owned(),
        dry_run: false,
        status: 0,
    };
    let mut answer = document.clone();
    answer["kind"] = "SelfSubjectAccessReview".into();
    answer["apiVersion"] = "authorization.k8s.io/v1".into();
    answer["status"] = match state.door.denies(&call) {
        true => json!({"allowed": false}),
        false => json!({"allowed": true, "reason": "RBAC: allowed by RoleBinding \"rolling\""}),
    };
    Ok(ApiResponse::new(201, answer))
}
