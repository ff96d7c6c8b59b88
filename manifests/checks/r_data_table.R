#!/usr/bin/env Rscript
# data.table groups, joins and reads a large table back from a file.

check <- function() {
  suppressPackageStartupMessages(library(data.table))
  big <- data.table(id = rep(1:1000, 200), value = as.numeric(1:2e5))
  fwrite(big, "big.csv")
  sums <- fread("big.csv")[, .(total = sum(value)), keyby = id]
  expected <- tapply(big$value, big$id, sum)
  if (!isTRUE(all.equal(sums$total, as.vector(expected)))) stop("wrong sums")
  names <- data.table(id = c(1L, 5L), name = c("one", "five"))
  joined <- sums[names, on = "id"]
  if (!identical(joined$name, c("one", "five")) || anyNA(joined$total)) stop("wrong join")
  sprintf('"groups": %d, "threads": %d', nrow(sums), getDTthreads())
}

outcome <- tryCatch(check(), error = function(error) {
  reason <- conditionMessage(error)
  message(reason)
  cat(sprintf('{"check": "r_data_table", "ok": false, "reason": %s}\n', encodeString(reason, quote = '"')))
  quit(status = 1)
})
cat(sprintf('{"check": "r_data_table", "ok": true, %s}\n', outcome))
