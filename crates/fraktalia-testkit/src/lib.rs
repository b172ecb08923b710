//! fraktalia-testkit
