//! The control plane: everything a person or a program manages.
