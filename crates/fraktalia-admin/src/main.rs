//! The program. See the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    fraktalia_admin::main()
}
