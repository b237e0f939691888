//! The words and the seams that both planes share.
