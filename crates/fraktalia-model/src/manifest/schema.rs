//! The JSON Schema of the manifest, for editors.

use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use super::raw::Root;

/// The JSON Schema (draft 7, which editors know best) of a manifest and of the files that it includes.
pub fn schema() -> Json {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<Root>();
    schema.insert("title".into(), "fraktalia manifest".into());
    schema.to_value()
}
