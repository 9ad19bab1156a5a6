/** What the forms of the console have in common. */

/** The JSON in a field; throws with words for the reader. */
export function readJson(field) {
  try {
    const value = JSON.parse(field.value);
    field.removeAttribute('aria-invalid');
    return value;
  } catch {
    field.setAttribute('aria-invalid', 'true');
    field.focus();
    throw new Error('The data is not JSON.');
  }
}

/** Runs an action of a form and shows in `problem` why it failed. */
export async function attempt(problem, action) {
  problem.textContent = '';
  try {
    await action();
  } catch (error) {
    problem.textContent = error.code ? `${error.code} ${error.message}` : `${error.message}`;
  }
}
