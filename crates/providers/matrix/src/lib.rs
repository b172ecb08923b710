//! fraktalia-matrix
