//! The API of YOURLS: `GET` and `POST /yourls-api.php`.
//!
//! ```text
//! parameters  the parameters of a request, from its query and its body
//! actions     actions of YOURLS, and the fields of their answers
//! answer      answers in JSON, JSONP, XML and plain text
//! ```

mod actions;
mod answer;
mod parameters;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{MethodRouter, get};

use self::actions::act;
use self::answer::{Failure, Format};
use self::parameters::Parameters;
use crate::access::guard::Admitted;
use crate::http::error::{Error, Result, forbidden};
use crate::request_log::request::LoggedRequest;
use crate::resources::shown_url::ShortOrigin;
use crate::state::AppState;

pub(crate) const PATH: &str = "/yourls-api.php";

const WITHOUT_TOKEN: &str =
    "A signature is needed: a token of this Tern, made with token create NAME --role editor --user ID";

const TIMESTAMPED: &str = "A signature with a timestamp cannot be checked, since only the hash of a token is stored; \
     send the token itself as signature, or as password";

pub(crate) fn methods() -> MethodRouter<Arc<AppState>> {
    get(answer_request).post(answer_request)
}

async fn answer_request(
    State(state): State<Arc<AppState>>,
    Extension(logged): Extension<Arc<LoggedRequest>>,
    origin: ShortOrigin,
    request: Request,
) -> Response {
    let parameters = match Parameters::read(request, state.config.body_limit).await {
        Ok(parameters) => parameters,
        Err(error) => return Format::default().refuse(error.into()),
    };
    let format = match Format::of(&parameters) {
        Ok(format) => format,
        Err(error) => return Format::Json.refuse(error.into()),
    };
    let admitted = match admit(&state, &parameters, &logged).await {
        Ok(admitted) => admitted,
        Err(error) => return format.refuse(error.into()),
    };
    let caller = admitted.caller.clone();
    let checked = admitted.check_role(&actions::method(&parameters));
    let answer = async {
        let done = match checked {
            Ok(()) => act(&state, &caller, &origin, &parameters).await,
            Err(error) => Err(Failure::from(error)),
        };
        match done {
            Ok(answer) => format.write(StatusCode::OK, &answer),
            Err(failure) => format.refuse(failure),
        }
    };
    admitted.answer(answer).await
}

/// Admits a request by `signature`, or by `password` beside any `username`.
async fn admit(state: &AppState, parameters: &Parameters, logged: &LoggedRequest) -> Result<Admitted> {
    let signature = parameters.get("signature");
    if signature.is_some() && parameters.get("timestamp").is_some() {
        return Err(forbidden(TIMESTAMPED));
    }
    let password = || parameters.get("username").and_then(|_| parameters.get("password"));
    let sent = signature.or_else(password).map(str::as_bytes);
    Admitted::by_token(&state.access, sent, WITHOUT_TOKEN, logged).await.map_err(as_forbidden)
}

/// Turns the refusal of a token into that of YOURLS. Other errors remain as they are.
fn as_forbidden(error: Error) -> Error {
    if error.status() == StatusCode::UNAUTHORIZED { error.with_status(StatusCode::FORBIDDEN) } else { error }
}
