-- The database of an app in the field, as Drizzle makes it: from the facts that issue F lists.
CREATE TYPE prompt_category AS ENUM (
    'portrait', 'fullbody', 'lifestyle', 'fashion', 'fitness', 'social_media', 'artistic', 'video_reference'
);
CREATE TYPE prompt_rating AS ENUM ('sfw', 'suggestive', 'nsfw');
CREATE TYPE prompt_aspect_ratio AS ENUM ('1:1', '2:3', '3:4', '4:5', '9:16', '16:9', '3:2');

CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email text NOT NULL UNIQUE,
    created_at timestamp DEFAULT now()
);

CREATE TABLE prompts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_by uuid REFERENCES users (id) ON DELETE SET NULL,
    name text NOT NULL,
    description text,
    category prompt_category NOT NULL DEFAULT 'portrait',
    subcategory text,
    template text NOT NULL,
    negative_prompt text,
    required_dna jsonb,
    tags jsonb,
    rating prompt_rating DEFAULT 'sfw',
    recommended_workflow text,
    aspect_ratio prompt_aspect_ratio,
    is_system_prompt boolean DEFAULT false,
    is_public boolean DEFAULT true,
    is_active boolean DEFAULT true,
    usage_count integer DEFAULT 0,
    success_count integer DEFAULT 0,
    favorite_count integer DEFAULT 0,
    deleted_at timestamp,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now()
);
CREATE INDEX prompts_category_idx ON prompts (category);

CREATE TABLE posts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    character_id uuid,
    job_id uuid,
    scene text,
    environment text,
    outfit text,
    image_url text,
    caption text,
    created_at timestamp DEFAULT now()
);

CREATE TABLE prompt_usage (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    prompt_id uuid NOT NULL REFERENCES prompts (id) ON DELETE CASCADE,
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    character_id uuid,
    post_id uuid,
    job_id uuid,
    scene text,
    environment text,
    outfit text,
    success boolean DEFAULT false,
    generation_time_ms integer,
    error_message text,
    created_at timestamp DEFAULT now()
);
CREATE INDEX prompt_usage_prompt_id_idx ON prompt_usage (prompt_id);
CREATE INDEX prompt_usage_user_id_idx ON prompt_usage (user_id);
CREATE INDEX prompt_usage_character_id_idx ON prompt_usage (character_id);
CREATE INDEX prompt_usage_post_id_idx ON prompt_usage (post_id);
CREATE INDEX prompt_usage_job_id_idx ON prompt_usage (job_id);
CREATE INDEX prompt_usage_created_at_idx ON prompt_usage (created_at);

CREATE TABLE prompt_favorites (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    prompt_id uuid NOT NULL REFERENCES prompts (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    sort_order integer DEFAULT 0,
    created_at timestamp DEFAULT now()
);
CREATE INDEX prompt_favorites_user_id_idx ON prompt_favorites (user_id);
