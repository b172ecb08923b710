//! The `fraktalia` command.

fn main() -> std::process::ExitCode {
    fraktalia::main()
}
