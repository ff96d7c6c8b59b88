#!/usr/bin/env bash
# spark-submit runs a program with arguments and hands its failure on; spark-sql answers a query.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "spark_submit", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

cat > pi.py <<'END'
import sys

from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
n = int(sys.argv[1])
inside = spark.sparkContext.parallelize(range(n), 2).filter(lambda i: (i % 100 / 100) ** 2 + (i // 100 / 100) ** 2 <= 1)
print("pi", round(4 * inside.count() / n, 1))
spark.stop()
END
local=(--master "local[2]" --conf spark.ui.enabled=false)
found=$(spark-submit "${local[@]}" pi.py 10000 2>submit.log) || fail "spark-submit: $(tail -n 1 submit.log)"
[ "$found" = "pi 3.2" ] || [ "$found" = "pi 3.1" ] || fail "the program printed $found"
if spark-submit "${local[@]}" pi.py nonsense >/dev/null 2>&1; then fail "a program that failed was a success"; fi
found=$(spark-sql "${local[@]}" --conf spark.sql.catalogImplementation=in-memory -S \
    -e "select town, sum(n) from values ('Łódź', 40), ('Łódź', 2) as t(town, n) group by town" 2>sql.log) \
    || fail "spark-sql: $(tail -n 1 sql.log)"
[ "$found" = $'Łódź\t42' ] || fail "spark-sql printed $found"
printf '{"check": "spark_submit", "ok": true}\n'
