//! One route of the API: how it is asked, by whom, and what it takes and gives.

use futures_util::future::BoxFuture;
use poem::http::Method;
use poem::{Endpoint, IntoResponse, Request, Response};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};

use crate::app::AppState;
use crate::auth::{self, Access};
use crate::body;
use crate::call::Call;
use crate::error::ApiResult;
use crate::front::Served;

/// Runs a handler.
pub(crate) type Run = fn(Call) -> BoxFuture<'static, ApiResult<Response>>;

/// Named schemas that a type leads to.
pub(crate) type Schemas = Vec<(String, RefOr<Schema>)>;

/// The schema of a body, and every schema that it refers to.
pub(crate) type Shape = fn(&mut Schemas) -> RefOr<Schema>;

/// What a request or an answer carries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Payload {
    /// Nothing.
    Nothing,
    /// JSON of this shape.
    Json(Shape),
    /// Bytes or text of this media type.
    Raw(&'static str),
}

/// A route.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    /// As OpenAPI writes it: `/jobs/{id}`; `{path...}` stands for the rest.
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) summary: &'static str,
    /// Parameters in the query; those with `!` at their end must be given.
    pub(crate) query: &'static [&'static str],
    pub(crate) takes: Payload,
    pub(crate) gives: Payload,
    pub(crate) status: u16,
    run: Run,
}

impl Operation {
    pub(crate) fn new(
        method: &'static str,
        path: &'static str,
        access: Access,
        run: Run,
        summary: &'static str,
    ) -> Self {
        let (takes, gives) = (Payload::Nothing, Payload::Nothing);
        Self { method, path, access, summary, query: &[], takes, gives, status: 200, run }
    }

    /// Takes these parameters in the query.
    pub(crate) fn query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    /// Takes JSON.
    pub(crate) fn takes<T: ToSchema>(self) -> Self {
        Self { takes: Payload::Json(shape::<T>), ..self }
    }

    /// Takes bytes as they are.
    pub(crate) fn takes_bytes(self) -> Self {
        Self { takes: Payload::Raw("application/octet-stream"), ..self }
    }

    /// Takes JSON in another's words.
    pub(crate) fn takes_json(self) -> Self {
        Self { takes: Payload::Raw("application/json"), ..self }
    }

    /// Takes the fields of a form.
    pub(crate) fn takes_form(self) -> Self {
        Self { takes: Payload::Raw("application/x-www-form-urlencoded"), ..self }
    }

    /// Answers with JSON.
    pub(crate) fn gives<T: ToSchema>(self, status: u16) -> Self {
        Self { gives: Payload::Json(shape::<T>), status, ..self }
    }

    /// Answers with a JSON list.
    pub(crate) fn lists<T: ToSchema>(self) -> Self {
        Self { gives: Payload::Json(list::<T>), ..self }
    }

    /// Answers with something else than JSON.
    pub(crate) fn gives_raw(self, media: &'static str) -> Self {
        Self { gives: Payload::Raw(media), ..self }
    }

    /// Answers 204.
    pub(crate) fn gives_nothing(self) -> Self {
        Self { status: 204, ..self }
    }

    /// The path as poem writes it: `/jobs/:id`, `/files/*path`.
    pub(crate) fn pattern(&self) -> String {
        let segment = |s: &str| match s.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            Some(name) => {
                name.strip_suffix("...").map_or_else(|| format!(":{name}"), |n| format!("*{n}"))
            }
            None => s.to_owned(),
        };
        self.path.split('/').map(segment).collect::<Vec<_>>().join("/")
    }

    /// The endpoint of this route on a server.
    pub(crate) fn endpoint(self, state: &AppState) -> Guarded {
        Guarded { operation: self, state: state.clone() }
    }

    /// The method.
    pub(crate) fn http_method(&self) -> Method {
        self.method.parse().unwrap_or_default()
    }
}

fn shape<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
    RefOr::Ref(Ref::from_schema_name(T::name()))
}

fn list<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    let item = shape::<T>(schemas);
    RefOr::T(Schema::Array(ArrayBuilder::new().items(item).build()))
}

/// A route on a server: lets in who may use it, and nobody else reaches the handler.
pub(crate) struct Guarded {
    operation: Operation,
    state: AppState,
}

impl Endpoint for Guarded {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let Operation { access, run, path, .. } = self.operation;
        let mut who = None;
        let mut request = request;
        let outcome = match auth::admit(&self.state, &request, access).await {
            Ok(principal) => {
                who = principal.as_ref().map(|p| p.name.clone());
                run(Call::new(self.state.clone(), principal, request)).await
            }
            Err(refusal) => {
                // dput learns only from the answer that a password is asked for, and sends the whole file before.
                if matches!(access, Access::Hook(_)) {
                    body::drain(request.take_body().into_bytes_stream()).await;
                }
                Err(refusal)
            }
        };
        let mut response = outcome.unwrap_or_else(IntoResponse::into_response);
        response.extensions_mut().insert(Served { route: path, who });
        Ok(response)
    }
}
