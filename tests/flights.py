"""Compares the two tables of tests/flights.rs with what DuckDB computes from the CSV files. Prints what differs; nothing if equal.

Arguments: pattern of the flights' CSV files, planes.csv, folder of the outputs.
"""
import sys
import duckdb

flights, planes, out = sys.argv[1:4]
# As RDE infers: time_hour has a zone. The plugin's rules are written a second time here.
duckdb.sql("SET enable_progress_bar = false")
duckdb.sql("SET TimeZone = 'UTC'")
score = f"""
SELECT *, CASE WHEN arr_delay IS NULL THEN 'not_arrived' WHEN arr_delay >= 60 THEN 'very_late' WHEN arr_delay >= 15 THEN 'late'
               WHEN arr_delay > 0 THEN 'on_time' ELSE 'early' END AS delay_class,
       distance::DOUBLE * 60.0 / air_time::DOUBLE AS speed_mph
FROM read_csv('{flights}', nullstr=['NA', ''])
WHERE coalesce(air_time > 0 AND distance::DOUBLE * 60.0 / air_time::DOUBLE <= 600, true)"""
query = {
    "late": f"""SELECT time_hour, carrier, flight, tailnum, origin, dest, dep_delay, air_time, delay_class, speed_mph, distance * 2 AS there_and_back
                FROM ({score}) WHERE dep_delay > 15 OR delay_class = 'very_late'""",
    "makers": f"""SELECT p.manufacturer, p.engines, count(*) AS flights, sum(s.distance)::BIGINT AS miles, avg(s.speed_mph) AS mean_mph,
                         sum(s.speed_mph) AS sum_mph, min(s.dep_delay) AS least, max(s.arr_delay) AS most
                  FROM ({score}) s JOIN read_csv('{planes}', nullstr=['NA', '']) p ON s.tailnum = p.tailnum
                  GROUP BY p.manufacturer, p.engines""",
}
for name, theirs in query.items():
    ours = f"SELECT * FROM read_parquet('{out}/{name}/*.parquet')"
    describe = lambda query: duckdb.sql(f"DESCRIBE {query}").fetchall()
    left, right = ([row[:2] for row in describe(query)] for query in (ours, theirs))
    if left != right:
        print(name, "columns", left, right)
        continue
    columns = [row[0] for row in left]
    nulls = lambda query: duckdb.sql("SELECT count(*), " + ", ".join(f"count(\"{c}\")" for c in columns) + f" FROM ({query})").fetchone()
    if nulls(ours) != nulls(theirs):
        print(name, "rows and values that are not null", nulls(ours), nulls(theirs))
    if nulls(ours)[0] == 0:
        print(name, "is empty")
    if name == "late":
        # Floats to the bit: EXCEPT compares them exactly.
        for what, one, other in (("only ours", ours, theirs), ("only DuckDB's", theirs, ours)):
            rows = duckdb.sql(f"SELECT COLUMNS(*)::VARCHAR FROM (({one}) EXCEPT ALL ({other}))").fetchall()
            if rows:
                print(name, what, len(rows), rows[:3])
        continue
    order = " ORDER BY ALL"
    for mine, other in zip(duckdb.sql(ours + order).fetchall(), duckdb.sql(f"SELECT * FROM ({theirs}){order}").fetchall()):
        for column, a, b in zip(columns, mine, other):
            if a != b and not (isinstance(a, float) and isinstance(b, float) and abs(a - b) <= 1e-9 * max(abs(a), abs(b))):
                print(name, column, mine, other)
