# The site's profile. DSVM_CRAN is a mirror to install packages from, in place of the distribution's choice.
local({
  usual <- "/etc/R/Rprofile.site"
  if (file.exists(usual)) sys.source(usual, globalenv())
  mirror <- Sys.getenv("DSVM_CRAN")
  if (nzchar(mirror)) options(repos = c(CRAN = mirror))
  own <- Sys.getenv("R_LIBS_USER")
  made <- nzchar(own) && (dir.exists(own) || dir.create(own, showWarnings = FALSE, recursive = TRUE))
  if (made) .libPaths(c(own, .libPaths()))
})
