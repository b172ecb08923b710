//! The HTTP door of the desk, the Fractal API: what it asks for becomes a proposal or, for a token that may, a change.
