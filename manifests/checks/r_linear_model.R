#!/usr/bin/env Rscript
# lm() recovers the coefficients that made the data, and R's recommended packages load.

check <- function() {
  set.seed(1)
  x <- matrix(rnorm(6000), ncol = 3)
  y <- drop(1 + x %*% c(2, -3, 0) + rnorm(2000, sd = 0.5))
  fit <- summary(lm(y ~ x))
  found <- unname(fit$coefficients[, "Estimate"])
  if (!isTRUE(all.equal(found, c(1, 2, -3, 0), tolerance = 0.02)))
    stop("coefficients ", paste(round(found, 3), collapse = " "))
  # The rank of a package in R's own distribution stands in its Priority.
  recommended <- c("MASS", "Matrix", "nlme", "survival", "lattice", "boot", "cluster", "mgcv", "nnet", "rpart")
  missing <- recommended[!vapply(recommended, requireNamespace, TRUE, quietly = TRUE)]
  if (length(missing)) stop("recommended packages that do not load: ", paste(missing, collapse = " "))
  png("plot.png")
  plot(x[, 1], y, main = "Title")
  invisible(dev.off())
  if (file.size("plot.png") < 2000) stop("the plot is empty")
  sprintf('"slope": %.3f, "r_squared": %.3f', found[2], fit$r.squared)
}

outcome <- tryCatch(check(), error = function(error) {
  reason <- conditionMessage(error)
  message(reason)
  cat(sprintf('{"check": "r_linear_model", "ok": false, "reason": %s}\n', encodeString(reason, quote = '"')))
  quit(status = 1)
})
cat(sprintf('{"check": "r_linear_model", "ok": true, %s}\n', outcome))
