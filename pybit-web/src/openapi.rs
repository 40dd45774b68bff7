//! The API's description for programs (OpenAPI 3.1), made from the same table as the routes.

use pybit_core::protocol::ErrorBody;
use utoipa::openapi::path::{
    HttpMethod, Operation as Described, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{
    ComponentsBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type,
};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, Info, OpenApi, OpenApiBuilder, PathsBuilder, RefOr, Required, Response,
    ResponseBuilder, ResponsesBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use crate::auth::Access;
use crate::operation::{Operation, Payload, Schemas};

const BEARER: &str = "bearer";
const BASIC: &str = "basic";

/// Parameters that are numbers; the others are text.
const NUMBERS: [&str; 8] =
    ["id", "offset", "attempt", "limit", "submission", "wait_ms", "before", "job"];

/// Operations that take an `Idempotency-Key`.
const KEYED: [(&str, &str); 3] = [
    ("POST", "/api/v1/submissions"),
    ("POST", "/api/v1/jobs/{id}/retry"),
    ("POST", "/api/v1/repositories/{name}/orders"),
];

/// The description of these routes.
pub(crate) fn document(operations: &[Operation]) -> OpenApi {
    let mut schemas: Schemas = vec![(ErrorBody::name().into_owned(), ErrorBody::schema())];
    ErrorBody::schemas(&mut schemas);
    let mut paths = PathsBuilder::new();
    for operation in operations {
        let described = describe(operation, &mut schemas);
        let path = operation.path.replace("...}", "}");
        let item = utoipa::openapi::PathItem::new(method(operation.method), described);
        paths = paths.path(path, item);
    }
    let token = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An access token, `pbt_…`"))
        .build();
    let password = Http::builder()
        .scheme(HttpAuthScheme::Basic)
        .description(Some(
            "An account's name and password; or any user name, and an access token as the password",
        ))
        .build();
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme(BEARER, SecurityScheme::Http(token))
        .security_scheme(BASIC, SecurityScheme::Http(password))
        .build();
    OpenApiBuilder::new()
        .info(Info::new("pybit", env!("CARGO_PKG_VERSION")))
        .paths(paths)
        .components(Some(components))
        .build()
}

fn describe(operation: &Operation, schemas: &mut Schemas) -> Described {
    let mut described = OperationBuilder::new()
        .summary(Some(operation.summary))
        .operation_id(Some(name_of(operation)))
        .parameters(Some(parameters(operation)));
    if let Some(content) = content(&operation.takes, schemas) {
        let (media, content) = content;
        let body = RequestBodyBuilder::new().required(Some(Required::True)).content(media, content);
        described = described.request_body(Some(body.build()));
    }
    let (roles, ways): (_, &[&str]) = match operation.access {
        Access::All | Access::Signed => (&[][..], &[]),
        Access::Roles(roles) => (roles, &[BEARER]),
        Access::Hook(roles) => (roles, &[BEARER, BASIC]),
    };
    if !ways.is_empty() {
        let names: Vec<_> = roles.iter().map(|r| r.as_str()).collect();
        let what = if ways.contains(&BASIC) { "a token or an account" } else { "a token" };
        let who = format!("Needs {what} of a role: {}.", names.join(", "));
        described = described.description(Some(who));
    }
    for way in ways {
        described = described.security(SecurityRequirement::new(*way, Vec::<String>::new()));
    }
    let mut answer = ResponseBuilder::new().description("What was asked for");
    if let Some((media, content)) = content(&operation.gives, schemas) {
        answer = answer.content(media, content);
    }
    let responses = ResponsesBuilder::new()
        .response(operation.status.to_string(), answer.build())
        .response("default", refusal());
    described.responses(responses.build()).build()
}

fn refusal() -> Response {
    let schema = utoipa::openapi::Ref::from_schema_name(ErrorBody::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description("A refusal").content("application/json", content).build()
}

fn content(
    payload: &Payload,
    schemas: &mut Schemas,
) -> Option<(&'static str, utoipa::openapi::Content)> {
    match payload {
        Payload::Nothing => None,
        Payload::Json(shape) => {
            let content = ContentBuilder::new().schema(Some(shape(schemas))).build();
            Some(("application/json", content))
        }
        Payload::Raw(media) => {
            Some((media, ContentBuilder::new().schema(Some(text(None))).build()))
        }
    }
}

fn parameters(operation: &Operation) -> Vec<Parameter> {
    let in_path = operation.path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|n| parameter(n.trim_end_matches("..."), ParameterIn::Path, true));
    let in_query = operation.query.iter().map(|name| {
        let needed = name.ends_with('!');
        parameter(name.trim_end_matches('!'), ParameterIn::Query, needed)
    });
    let mut all: Vec<_> = in_path.chain(in_query).collect();
    if KEYED.contains(&(operation.method, operation.path)) {
        all.push(parameter("Idempotency-Key", ParameterIn::Header, false));
    }
    all
}

fn parameter(name: &str, place: ParameterIn, needed: bool) -> Parameter {
    let schema = if NUMBERS.contains(&name) { number() } else { text(None) };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(if needed { Required::True } else { Required::False })
        .schema(Some(schema))
        .build()
}

fn number() -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    ObjectBuilder::new().schema_type(Type::Integer).format(Some(format)).into()
}

fn text(format: Option<SchemaFormat>) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).format(format).into()
}

fn method(name: &str) -> HttpMethod {
    match name {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

/// A name for generated clients: `get_jobs_id_log`.
fn name_of(operation: &Operation) -> String {
    let words = operation.path.trim_start_matches("/api/v1").split(['/', '{', '}', '.', '-']);
    let words: Vec<_> = words.filter(|w| !w.is_empty()).collect();
    format!("{}_{}", operation.method.to_lowercase(), words.join("_"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::router::operations;

    fn value() -> serde_json::Value {
        serde_json::to_value(document(&operations())).unwrap()
    }

    #[test]
    fn the_description_has_exactly_the_routes_of_the_router() {
        let routed: BTreeSet<(String, String)> = operations()
            .iter()
            .map(|o| (o.method.to_lowercase(), o.path.replace("...}", "}")))
            .collect();
        let value = value();
        let paths = value["paths"].as_object().unwrap();
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, item)| {
                item.as_object().unwrap().keys().map(|m| (m.clone(), path.clone()))
            })
            .collect();
        assert_eq!(described, routed);
        assert_eq!(routed.len(), operations().len(), "no route stands there twice");
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        let value = value();
        let schemas = value["components"]["schemas"].as_object().unwrap();
        let text = value.to_string();
        let references: BTreeSet<_> = text
            .split("#/components/schemas/")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect();
        assert!(references.contains("Job") && references.contains("ErrorBody"));
        for reference in references {
            assert!(schemas.contains_key(&reference), "{reference}");
        }
    }

    #[test]
    fn every_route_that_needs_a_token_says_so() {
        let value = value();
        for operation in operations() {
            let path = operation.path.replace("...}", "}");
            let described = &value["paths"][&path][operation.method.to_lowercase()];
            let secured = described["security"].is_array();
            let open = matches!(operation.access, Access::All | Access::Signed);
            assert_eq!(secured, !open, "{} {path}", operation.method);
        }
    }

    #[test]
    fn nothing_is_changed_without_a_token() {
        for operation in operations() {
            assert!(
                operation.method == "GET" || operation.access != Access::All,
                "{}",
                operation.path
            );
        }
    }
}
