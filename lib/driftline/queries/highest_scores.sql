-- For whom does the model in use expect it most (of churn: who will lapse), and why?
WITH used AS (
  SELECT p.*
  FROM gold.predictions p
  WHERE p.model_version = (
    -- By the ledger: the highest version may have been taken back, a newer one has scored nobody yet.
    SELECT max_by(r.model_version, r.started_at)
    FROM ops.runs r
    WHERE r.model_version IS NOT NULL AND r.stage IN ('score', 'rollback') AND r.status IN ('done', 'unchanged')
  )
)
SELECT u.entity, u.as_of, round(u.score, 3) AS score, u.reasons, u.model_version
FROM used u
WHERE u.as_of = (SELECT max(as_of) FROM used)
ORDER BY u.score DESC, u.entity
LIMIT 20
