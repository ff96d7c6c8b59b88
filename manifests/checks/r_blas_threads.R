#!/usr/bin/env Rscript
# R multiplies matrices with OpenBLAS, and more than one thread does the work.

# CPU time of every thread of this process, in clock ticks, by thread id.
ticks <- function() {
  threads <- list.files("/proc/self/task")
  stat <- vapply(file.path("/proc/self/task", threads, "stat"), readLines, "", USE.NAMES = FALSE)
  fields <- strsplit(sub(".*[)] ", "", stat), " ")
  setNames(vapply(fields, function(one) sum(as.numeric(one[12:13])), 0), threads)
}

check <- function() {
  if (!grepl("openblas", La_library())) stop("LAPACK is ", La_library())
  blas <- extSoftVersion()[["BLAS"]]
  if (!grepl("openblas", blas)) stop("BLAS is ", blas)
  if (as.integer(system2("nproc", stdout = TRUE)) < 2) {
    cat('{"check": "r_blas_threads", "reason": "one processor only"}\n')
    quit(status = 77)
  }
  set.seed(1)
  a <- matrix(runif(1e6), 1000)
  b <- matrix(runif(1e6), 1000)
  before <- ticks()
  # Until there is something to divide: an emulated machine takes minutes for what others do at once.
  for (turn in 1:200) {
    product <- a %*% b
    after <- ticks()
    spent <- after - ifelse(names(after) %in% names(before), before[names(after)], 0)
    if (max(spent) >= 30) break
  }
  if (!isTRUE(all.equal(product[7, 9], sum(a[7, ] * b[, 9])))) stop("wrong product")
  # How the work is divided does not depend on how busy the machine is; how long it takes does.
  busy <- sum(spent >= 0.2 * max(spent))
  if (busy < 2) stop(busy, " thread did all the work: ", paste(spent, collapse = " "), " ticks")
  sprintf('"threads": %d, "blas": %s', busy, encodeString(basename(La_library()), quote = '"'))
}

outcome <- tryCatch(check(), error = function(error) {
  reason <- conditionMessage(error)
  message(reason)
  cat(sprintf('{"check": "r_blas_threads", "ok": false, "reason": %s}\n', encodeString(reason, quote = '"')))
  quit(status = 1)
})
cat(sprintf('{"check": "r_blas_threads", "ok": true, %s}\n', outcome))
