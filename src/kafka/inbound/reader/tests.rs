mod corpus;
mod properties;

use serde_json::json;

use super::*;
