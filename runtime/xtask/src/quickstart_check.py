"""Computes the quickstart's answer from the CSV files alone, in DuckDB, compares every row, and shows some."""
import duckdb

duckdb.sql("SET enable_progress_bar = false")

base = "read_csv('configs/data/flights/*.csv.gz', nullstr=['NA', ''])"
score = f"""
SELECT *, CASE WHEN arr_delay IS NULL THEN 'not_arrived' WHEN arr_delay >= 60 THEN 'very_late' WHEN arr_delay >= 15 THEN 'late'
               WHEN arr_delay > 0 THEN 'on_time' ELSE 'early' END AS delay_class,
       distance::DOUBLE * 60.0 / air_time::DOUBLE AS speed_mph
FROM {base}
WHERE coalesce(air_time > 0 AND distance::DOUBLE * 60.0 / air_time::DOUBLE <= 600, true)"""
columns = "carrier, flight, tailnum, origin, dest, arr_delay, delay_class, speed_mph"
late = f"SELECT {columns} FROM ({score}) WHERE delay_class IN ('late', 'very_late')"
table = f"SELECT {columns} FROM read_parquet('out/quickstart/delays/*/*.parquet', hive_partitioning=true)"
count = lambda query: duckdb.sql(f"SELECT count(*) FROM ({query})").fetchone()[0]
different = count(f"({late} EXCEPT ALL {table}) UNION ALL ({table} EXCEPT ALL {late})")
makers = f"""
SELECT p.manufacturer, count(*) AS flights, sum(s.distance)::BIGINT AS miles FROM ({score}) s
JOIN read_csv('configs/data/planes.csv', nullstr=['NA', '']) p ON s.tailnum = p.tailnum GROUP BY 1"""
ours = "SELECT manufacturer, flights, miles FROM read_parquet('out/quickstart/makers/*.parquet')"
different += count(f"({makers} EXCEPT ALL {ours}) UNION ALL ({ours} EXCEPT ALL {makers})")
print(duckdb.sql("SELECT origin, delay_class, count(*) AS flights, round(avg(speed_mph)) AS mph "
                 "FROM read_parquet('out/quickstart/delays/*/*.parquet', hive_partitioning=true) GROUP BY 1, 2 ORDER BY 1, 2"))
print(duckdb.sql("SELECT * FROM read_parquet('out/quickstart/makers/*.parquet') LIMIT 5"))
print(duckdb.sql("SELECT code, message, count(*) AS rows FROM read_json('out/quickstart/rejects/*.json') GROUP BY 1, 2"))
if different:
    raise SystemExit(f"the answer differs from DuckDB's in {different} rows")
print(f"checked with DuckDB: all {count(table)} late flights and {count(ours)} makers are what it computes from the CSV files")
