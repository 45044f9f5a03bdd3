/** The profiles of tokens that are software. */
export const SOFTWARE: readonly string[] = ["softhsm2", "nss-softokn", "kryoptic", "opencryptoki"];
