-- For whom does the newest model expect it most (of churn: who will lapse), and why?
SELECT p.entity, p.as_of, round(p.score, 3) AS score, p.reasons, p.model_version
FROM gold.predictions p
WHERE p.as_of = (SELECT max(as_of) FROM gold.predictions)
  AND p.model_version = (
    SELECT max(model_version) FROM gold.predictions
    WHERE as_of = (SELECT max(as_of) FROM gold.predictions)
  )
ORDER BY p.score DESC, p.entity
LIMIT 20
