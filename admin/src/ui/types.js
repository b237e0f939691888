// The types of what the API answers, for the checker of types. It must not hold code.

/** @typedef {{ type: string, key?: string, value?: string }} Condition */
/** @typedef {{ target: string, if: Condition[] }} Rule */
/** @typedef {{ target: string, weight: number }} Variant */

/**
 * @typedef {object} Link
 * @property {number} id
 * @property {number} user_id
 * @property {string} short_code
 * @property {string} short_url
 * @property {string} original_url
 * @property {string | null} title
 * @property {boolean} is_active
 * @property {string | null} starts_at
 * @property {string | null} expires_at
 * @property {string | null} expired_url
 * @property {number | null} redirect_status
 * @property {boolean | null} forward_query
 * @property {string} created_at
 * @property {string} updated_at
 * @property {number | null} max_clicks
 * @property {number | null} clicks_left
 * @property {Rule[]} rules
 * @property {Variant[]} split
 * @property {string[]} tags
 * @property {string | null} notes
 * @property {string | null} external_id
 * @property {number} revision
 * @property {number} clicks
 * @property {string | null} last_clicked_at
 * @property {number} imported_clicks
 * @property {"active" | "inactive" | "scheduled" | "expired" | "exhausted"} state
 */

export {};
