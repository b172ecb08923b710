//! Prints the `OpenAPI` document of the Fractal API: `cargo xtask docs` makes `docs/reference/openapi.json` of it.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    let document = fraktalia_door::document().to_pretty_json()?;
    writeln!(std::io::stdout(), "{document}")
}
