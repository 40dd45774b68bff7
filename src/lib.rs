//! pybit
