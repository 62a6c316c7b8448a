//! Writes: `create`, `update`, `patch` and `delete` (`k8s.io/apiserver/pkg/registry/generic`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::api_request::{ApiRequest, ApiResponse, Route};
use super::reads::{self, key};
use super::server_side_apply;
use crate::api_error::{ApiError, FieldCause};
use crate::cluster_state::ClusterState;
use crate::json_pointer::{at, copy, push, set, text};
use crate::managed_fields::Manager;
use crate::object_kind::ObjectKind;
use crate::object_store::Key;
use crate::{defaults, patch, validation};

/// Answers a write.
pub fn answer(
    state: &mut ClusterState,
    verb: &str,
    route: &Route,
    request: &ApiRequest,
) -> Result<ApiResponse, ApiError> {
    match verb {
        "create" if route.subresource == "binding" => bind(state, route, request),
        "create" => create(state, route, request, request.json()?),
        "update" => update(state, route, request),
        "patch" => patch(state, route, request),
        _ => delete(state, route, request),
    }
}

fn manager(route: &Route, request: &ApiRequest) -> Manager {
    let subresource = match route.subresource.as_str() {
        "status" => "status",
        "scale" => "scale",
        _ => "",
    };
    Manager { name: request.field_manager().to_owned(), operation: "Update", subresource }
}

fn create(
    state: &mut ClusterState,
    route: &Route,
    request: &ApiRequest,
    mut object: Value,
) -> Result<ApiResponse, ApiError> {
    let kind = route.kind;
    if !object.is_object() {
        return Err(ApiError::bad_request("the object provided is unrecognized"));
    }
    place_in(state, route, &mut object)?;
    if text(&object, "/metadata/name").is_empty() {
        let prefix = text(&object, "/metadata/generateName").to_owned();
        if prefix.is_empty() {
            return Err(nameless(kind));
        }
        set(&mut object, "/metadata/name", format!("{prefix}{}", state.random.suffix()));
    }
    if !text(&object, "/metadata/resourceVersion").is_empty() {
        return Err(ApiError::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let key = Key::of(kind, &object);
    if state.store.get(&key).is_some() {
        return Err(ApiError::already_exists(kind, &key.name));
    }
    if matches!(kind, ObjectKind::Deployment | ObjectKind::StatefulSet | ObjectKind::ReplicaSet) {
        object["status"] = json!({});
    }
    defaults::apply(kind, &mut object);
    validation::check(kind, None, &object)?;
    if kind == ObjectKind::Pod && !request.dry_run() {
        let made = state.create_pod(object);
        let made = made.map_err(|why| ApiError::forbidden(kind, &key.name, why))?;
        return Ok(ApiResponse::new(201, (*made).clone()));
    }
    state.stamp_new(kind, &mut object, &manager(route, request));
    if request.dry_run() {
        return Ok(ApiResponse::new(201, object));
    }
    let stored = state.keep_new(kind, object);
    Ok(ApiResponse::new(201, (*stored).clone()))
}

/// Puts a new object in the namespace of the path, which must be there.
fn place_in(state: &ClusterState, route: &Route, object: &mut Value) -> Result<(), ApiError> {
    let Some(namespace) = &route.namespace else { return Ok(()) };
    let own = text(object, "/metadata/namespace");
    if !own.is_empty() && own != namespace {
        let message = "the namespace of the provided object does not match the namespace sent on \
                       the request";
        return Err(ApiError::bad_request(message));
    }
    if state.store.get(&Key::new(ObjectKind::Namespace, "", namespace)).is_none() {
        return Err(ApiError::not_found(ObjectKind::Namespace, namespace));
    }
    set(object, "/metadata/namespace", namespace.as_str());
    Ok(())
}

fn nameless(kind: ObjectKind) -> ApiError {
    let message = "Required value: name or generateName is required".to_owned();
    let field = "metadata.name".to_owned();
    ApiError::invalid(kind, "", &[FieldCause { reason: "FieldValueRequired", field, message }])
}

/// Returns the object that is to be changed.
fn existing(state: &ClusterState, route: &Route) -> Result<Arc<Value>, ApiError> {
    let found = state.store.get(&key(route)).map(Arc::clone);
    found.ok_or_else(|| ApiError::not_found(route.kind, &route.name))
}

fn update(
    state: &mut ClusterState,
    route: &Route,
    request: &ApiRequest,
) -> Result<ApiResponse, ApiError> {
    let new = request.json()?;
    let old = match existing(state, route) {
        // AllowCreateOnUpdate of the strategy of leases.
        Err(_) if route.kind == ObjectKind::Lease => return create(state, route, request, new),
        other => other?,
    };
    let name = text(&new, "/metadata/name");
    if name != route.name {
        let message = format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            route.name
        );
        return Err(ApiError::bad_request(message));
    }
    // AllowUnconditionalUpdate is false for leases.
    if route.kind == ObjectKind::Lease && text(&new, "/metadata/resourceVersion").is_empty() {
        let message = "Invalid value: 0x0: must be specified for an update".to_owned();
        let field = "metadata.resourceVersion".to_owned();
        let cause = FieldCause { reason: "FieldValueInvalid", field, message };
        return Err(ApiError::invalid(route.kind, &route.name, &[cause]));
    }
    change(state, route, request, &old, new, manager(route, request))
}

fn patch(
    state: &mut ClusterState,
    route: &Route,
    request: &ApiRequest,
) -> Result<ApiResponse, ApiError> {
    let document = request.json()?;
    if request.header("content-type").starts_with("application/apply-patch") {
        return apply_patch(state, route, request, &document);
    }
    let old = existing(state, route)?;
    let shown = if route.subresource == "scale" { reads::scale(&old) } else { (*old).clone() };
    let new = patch::apply(request.header("content-type"), &shown, &document)?;
    change(state, route, request, &old, new, manager(route, request))
}

/// Server-side apply: what the manager applied before and does not any more is removed, what
/// others own conflicts unless it is forced.
fn apply_patch(
    state: &mut ClusterState,
    route: &Route,
    request: &ApiRequest,
    document: &Value,
) -> Result<ApiResponse, ApiError> {
    if request.parameter("fieldManager").is_empty() {
        let message = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is \
                       required for apply patch";
        return Err(ApiError::unprocessable(message));
    }
    let who = Manager { operation: "Apply", ..manager(route, request) };
    let Ok(old) = existing(state, route) else {
        return create(state, route, request, document.clone());
    };
    let new = server_side_apply::merged(&old, document, &who, request.flag("force"))?;
    change(state, route, request, &old, new, who)
}

/// Keeps an object in place of another, as far as the path lets it be changed.
fn change(
    state: &mut ClusterState,
    route: &Route,
    request: &ApiRequest,
    old: &Value,
    mut new: Value,
    manager: Manager,
) -> Result<ApiResponse, ApiError> {
    let kind = route.kind;
    if !new.is_object() || !at(&new, "/metadata").is_object() {
        return Err(ApiError::bad_request("the object provided is unrecognized"));
    }
    check_version(kind, &route.name, old, &new)?;
    match route.subresource.as_str() {
        "status" => {
            let status = new["status"].take();
            new = old.clone();
            new["status"] = status;
        }
        "scale" => {
            let size = at(&new, "/spec/replicas").clone();
            new = old.clone();
            set(&mut new, "/spec/replicas", size);
        }
        _ => copy(&mut new, old, "status"),
    }
    // Only a deletion sets these.
    for key in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        copy(&mut new["metadata"], &old["metadata"], key);
    }
    defaults::apply(kind, &mut new);
    validation::check(kind, Some(old), &new)?;
    state.stamp_changed(kind, old, &mut new, &manager);
    let stored = match request.dry_run() {
        true => Arc::new(new),
        false => state.keep_changed(&key(route), new),
    };
    let body = if route.subresource == "scale" { reads::scale(&stored) } else { (*stored).clone() };
    Ok(ApiResponse::new(200, body))
}

/// 409 where the version or the UID that is given is not that of the object.
fn check_version(kind: ObjectKind, name: &str, old: &Value, new: &Value) -> Result<(), ApiError> {
    let version = text(new, "/metadata/resourceVersion");
    if !version.is_empty() && version != text(old, "/metadata/resourceVersion") {
        return Err(ApiError::conflict(kind, name));
    }
    let (uid, own) = (text(new, "/metadata/uid"), text(old, "/metadata/uid"));
    if !uid.is_empty() && uid != own {
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {own}");
        return Err(ApiError::conflict_because(kind, &kind.qualified(), name, &why));
    }
    Ok(())
}

fn delete(
    state: &mut ClusterState,
    route: &Route,
    request: &ApiRequest,
) -> Result<ApiResponse, ApiError> {
    let (kind, name) = (route.kind, route.name.as_str());
    let options = request.json()?;
    let object = existing(state, route)?;
    check_preconditions(kind, name, at(&options, "/preconditions"), &object)?;
    let dry_run = request.dry_run() || at(&options, "/dryRun/0") == "All";
    let grace = at(&options, "/gracePeriodSeconds").as_i64();
    let grace = grace.or_else(|| request.parameter("gracePeriodSeconds").parse().ok());
    if kind == ObjectKind::Pod {
        let shown = if dry_run { None } else { state.delete_pod(&key(route), grace) };
        return Ok(ApiResponse::new(200, (*shown.unwrap_or(object)).clone()));
    }
    if !dry_run {
        state.delete(&key(route));
    }
    Ok(ApiResponse::success(kind, name, at(&object, "/metadata/uid")))
}

/// `rest.BeforeDelete`: the message names the kind, not the resource.
fn check_preconditions(
    kind: ObjectKind,
    name: &str,
    wanted: &Value,
    object: &Value,
) -> Result<(), ApiError> {
    let end = "The object might have been";
    for (field, word, end) in [
        ("uid", "UID", format!("{end} deleted and then recreated")),
        ("resourceVersion", "ResourceVersion", format!("{end} modified")),
    ] {
        let given = text(wanted, &format!("/{field}"));
        let own = text(object, &format!("/metadata/{field}"));
        if !given.is_empty() && given != own {
            let why = format!(
                "the {word} in the precondition ({given}) does not match the {word} in record \
                 ({own}). {end}"
            );
            let subject = kind.qualified_kind();
            return Err(ApiError::conflict_because(kind, &subject, name, &why));
        }
    }
    Ok(())
}

/// Puts a pod on a node, for a scheduler outside.
fn bind(
    state: &mut ClusterState,
    route: &Route,
    request: &ApiRequest,
) -> Result<ApiResponse, ApiError> {
    let node = text(&request.json()?, "/target/name").to_owned();
    existing(state, route)?;
    state.update(&key(route), &manager(route, request), |pod| {
        set(pod, "/spec/nodeName", node);
        push(pod, "/status/conditions", json!({"type": "PodScheduled", "status": "True"}));
    });
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(ApiResponse::new(201, body))
}
