//! Getting sources: git, the distribution's own, uploads.
