-- Which deliveries brought records that could not be read, and why not?
SELECT j.source, d.path, j.reason, j.column AS column_name, count(*) AS records
FROM ops.rejects j
JOIN (SELECT delivery, min(path) AS path FROM ops.deliveries GROUP BY delivery) d
  ON j.delivery = d.delivery
GROUP BY j.source, d.path, j.reason, j.column
ORDER BY records DESC, j.source, d.path, j.reason, column_name
LIMIT 50
