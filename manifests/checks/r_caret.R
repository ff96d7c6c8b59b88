#!/usr/bin/env Rscript
# caret chooses a model by cross-validation and tells species apart that it has not seen.

check <- function() {
  suppressPackageStartupMessages(library(caret))
  set.seed(1)
  rows <- createDataPartition(iris$Species, p = 0.7, list = FALSE)
  model <- train(
    Species ~ ., data = iris[rows, ], method = "knn", preProcess = c("center", "scale"),
    tuneGrid = data.frame(k = c(3, 7, 75)), trControl = trainControl(method = "cv", number = 5)
  )
  if (!model$bestTune$k %in% c(3, 7)) stop("chose k = ", model$bestTune$k)
  right <- confusionMatrix(predict(model, iris[-rows, ]), iris$Species[-rows])$overall[["Accuracy"]]
  if (right < 0.8) stop("accuracy ", right)
  sprintf('"accuracy": %.3f, "k": %d', right, as.integer(model$bestTune$k))
}

outcome <- tryCatch(check(), error = function(error) {
  reason <- conditionMessage(error)
  message(reason)
  cat(sprintf('{"check": "r_caret", "ok": false, "reason": %s}\n', encodeString(reason, quote = '"')))
  quit(status = 1)
})
cat(sprintf('{"check": "r_caret", "ok": true, %s}\n', outcome))
