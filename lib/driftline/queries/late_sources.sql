-- How fresh is each source, and how many of its records were kept out?
SELECT d.source, count(DISTINCT d.delivery) AS deliveries, max(d.at) AS last_landed,
  sum(d.records) AS records, sum(d.rejected) AS rejected,
  round(1e2 * sum(d.rejected) / nullif(sum(d.records), 0), 3) AS percent_rejected
FROM ops.deliveries d
WHERE d.status = 'landed'
GROUP BY d.source
ORDER BY last_landed, d.source
