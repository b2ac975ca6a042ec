-- Purpose: tells the planner how few rows changed, so that it looks them up instead of reading all users.
-- Grain:   the temporary table.
-- Time:    none.
ANALYZE user_prompts_changed
