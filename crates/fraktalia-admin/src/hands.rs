//! The hands of the desk: what it wants planned, written and applied is done by the `fraktalia` command and by git, as an
//! operator at a terminal would do it.
