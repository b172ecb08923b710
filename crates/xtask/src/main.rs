//! The project's menu: `cargo xtask <task>`.

fn main() {}
