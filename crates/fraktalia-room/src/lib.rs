//! The encrypted room of the desk: a Matrix client of its own that hears what happens there, and says what it is told to.
