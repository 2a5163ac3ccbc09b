-- Which rules fail most, and how many rows break them, each batch as it was last judged?
SELECT q.table AS table_name, q.rule, q.severity, count(*) AS judged,
  sum(CASE WHEN q.success THEN 0 ELSE 1 END) AS failed,
  sum(q.unexpected_count) AS rows_that_break_it, sum(q.element_count) AS rows_judged,
  max(q.why) AS why
FROM (
  SELECT v.*, max(v.at) OVER (
    PARTITION BY v.table, CASE WHEN v.batch = '' THEN v.run_id ELSE v.batch END
  ) AS last_judged
  FROM ops.quality v
) q
WHERE q.at = q.last_judged
GROUP BY q.table, q.rule, q.severity
ORDER BY failed DESC, rows_that_break_it DESC NULLS LAST, table_name, q.rule
LIMIT 20
