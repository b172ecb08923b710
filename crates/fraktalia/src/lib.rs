//! fraktalia
