/*
 * transpose.h
 *		Columns of a matrix as rows.
 *
 * kernels/cpu/transpose.h
 */
#ifndef RN_TRANSPOSE_H
#define RN_TRANSPOSE_H

#include "kernels/cpu/vector.h"

/* to[p * ld + i] = x[i * ldx + p] for i < m, p < k */
static inline __attribute__((unused)) void
transpose_panel(int m, int k, const rn_real *x, long ldx, rn_real *to, int ld)
{
	int			i = 0;
	int			p;

#if !defined(RN_NO_INTRINSICS) && !defined(RN_DOUBLE)
	for (; i + 4 <= m; i += 4)
	{
		const rn_real *row = x + i * ldx;

		for (p = 0; p + 4 <= k; p += 4)
		{
			__m128		r0 = _mm_loadu_ps(row + p);
			__m128		r1 = _mm_loadu_ps(row + ldx + p);
			__m128		r2 = _mm_loadu_ps(row + 2 * ldx + p);
			__m128		r3 = _mm_loadu_ps(row + 3 * ldx + p);

			_MM_TRANSPOSE4_PS(r0, r1, r2, r3);
			_mm_storeu_ps(to + (p + 0) * ld + i, r0);
			_mm_storeu_ps(to + (p + 1) * ld + i, r1);
			_mm_storeu_ps(to + (p + 2) * ld + i, r2);
			_mm_storeu_ps(to + (p + 3) * ld + i, r3);
		}
		for (; p < k; p++)
		{
			to[p * ld + i] = row[p];
			to[p * ld + i + 1] = row[ldx + p];
			to[p * ld + i + 2] = row[2 * ldx + p];
			to[p * ld + i + 3] = row[3 * ldx + p];
		}
	}
#endif
	for (; i < m; i++)
		for (p = 0; p < k; p++)
			to[p * ld + i] = x[i * ldx + p];
}

#endif							/* RN_TRANSPOSE_H */
