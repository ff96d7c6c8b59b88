#!/usr/bin/env Rscript
# glmnet finds which of many columns a number depends on.

check <- function() {
  suppressPackageStartupMessages(library(glmnet))
  set.seed(1)
  x <- matrix(rnorm(300 * 40), 300)
  y <- 4 * x[, 3] - 3 * x[, 17] + rnorm(300, sd = 0.2)
  model <- cv.glmnet(x, y)
  weights <- as.matrix(coef(model, s = "lambda.1se"))[-1, 1]
  strongest <- unname(which(abs(weights) > 1))
  if (!identical(strongest, c(3L, 17L))) stop("wrong columns: ", toString(strongest))
  error <- sqrt(mean((predict(model, x, s = "lambda.1se") - y)^2))
  if (error > 0.5) stop("error ", error)
  sprintf('"error": %.3f', error)
}

outcome <- tryCatch(check(), error = function(error) {
  reason <- conditionMessage(error)
  message(reason)
  cat(sprintf('{"check": "r_glmnet", "ok": false, "reason": %s}\n', encodeString(reason, quote = '"')))
  quit(status = 1)
})
cat(sprintf('{"check": "r_glmnet", "ok": true, %s}\n', outcome))
