"""Spark runs jobs on this machine: words counted, tables joined and grouped, Parquet written and read back, SQL,
and functions in Python, row by row and with pandas."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from lib.outcome import run_check

TEXT = "the cat and the dog\nthe town of Łódź\nand a cat\n"


# /proc/net/tcp and tcp6: addresses in hexadecimal, least significant byte first, and state 0A for listening
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
OUTSIDE = ("00000000", "00000000000000000000000000000000")


def listening(addresses: Sequence[str]) -> set[int]:
    """Ports on which this user's programs listen at one of `addresses`."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    mine = [line[1].split(":") for line in lines if line[3] == "0A" and line[7] == str(os.getuid())]
    return {int(port, 16) for address, port in mine if address in addresses}


def check() -> dict[str, object]:
    import pandas as pd
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as f

    spark = (
        SparkSession.builder.master("local[2]")
        .appName("check")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.warehouse.dir", str(Path("warehouse").resolve()))
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    try:
        page = urlsplit(spark.sparkContext.uiWebUrl or "")
        if page.port not in listening(LOOPBACK):
            raise AssertionError(f"its pages are not at {page.geturl()}")
        if page.port in listening(OUTSIDE):
            raise AssertionError(f"its pages at {page.geturl()} are for everybody")

        Path("text.txt").write_text(TEXT, encoding="utf-8")
        words = spark.sparkContext.textFile("text.txt").flatMap(str.split)
        counts = dict(words.map(lambda word: (word, 1)).reduceByKey(lambda one, other: one + other).collect())
        if counts["the"] != 3:
            raise AssertionError(f"words {counts}")
        if counts["Łódź"] != 1:
            raise AssertionError(f"words {counts}")

        sales = spark.range(1000).select((f.col("id") % 4).alias("shop"), f.col("id").alias("amount"))
        shops = spark.createDataFrame(pd.DataFrame({"shop": [0, 1, 2, 3], "town": ["Oslo", "Oslo", "Łódź", "Paris"]}))
        wanted = {"Oslo": 124500 + 124750, "Łódź": 125000, "Paris": 125250}
        sales.join(shops, "shop").groupBy("town").agg(f.sum("amount").alias("total")).write.parquet("towns.parquet")
        if not list(Path("towns.parquet").glob("*.parquet")):
            raise AssertionError("no file of Parquet")
        towns = spark.read.parquet("towns.parquet")
        found = {row.town: row.total for row in towns.collect()}
        if found != wanted:
            raise AssertionError(f"towns {found}")
        towns.createOrReplaceTempView("towns")
        (best,) = spark.sql("select town from towns order by total desc limit 1").collect()
        if best.town != "Oslo":
            raise AssertionError(f"the query found {best.town}")

        doubled = f.udf(lambda number: number * 2, "long")
        halved = f.pandas_udf(lambda numbers: numbers // 2, "long")
        (row,) = sales.agg(f.sum(doubled("amount")).alias("twice"), f.sum(halved("amount")).alias("half")).collect()
        if (row.twice, row.half) != (999_000, 249_500):
            raise AssertionError(f"functions in Python: {row}")
        frame = towns.orderBy("town").toPandas()
        if dict(zip(frame["town"], frame["total"], strict=True)) != wanted:
            raise AssertionError(f"in pandas: {frame}")
        return {"spark": spark.version, "java": spark._jvm.System.getProperty("java.version"), "words": len(counts)}
    finally:
        spark.stop()


if __name__ == "__main__":
    run_check(__file__, check)
