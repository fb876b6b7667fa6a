// Macros shared by the assembly files for AVX2; the constants are defined in simd_avx2_amd64.s.

// Lane sums of four registers to four floats. Uses Y8 and Y9.
#define SUM4OF(a, b, c, d, mem) \
	VHADDPS b, a, Y8            \
	VHADDPS d, c, Y9            \
	VHADDPS Y9, Y8, Y8          \
	VEXTRACTF128 $1, Y8, X9     \
	VADDPS X9, X8, X8           \
	VMOVUPS X8, mem

// Eight e4m3 codes to float32 numbers that are 2^120 too small.
#define E4M3(mem, dst) \
	VPMOVSXBD mem, dst          \
	VPSLLD $20, dst, dst        \
	VPAND Y15, dst, dst

#define E4M3CONST VPBROADCASTD ·e4m3Mask8(SB), Y15

// Constants of the e2m1 kernels: upper and lower bytes of the values by code as bf16, nibbles, upper words.
#define E2M1CONSTS \
	VMOVDQU ·e2m1Upper(SB), Y15     \
	VMOVDQU ·e2m1Lower(SB), Y14     \
	VPBROADCASTD ·lowNibbles(SB), Y13 \
	VPBROADCASTD ·upperWord(SB), Y12

// Codes, one in each byte of n, to bf16: those of the lower eight bytes of each 128-bit lane to u, of the
// upper eight to n. An even word becomes a float32 by a shift, an odd one by clearing the word below it.
#define E2M1PAIRS(n, tmp, u) \
	VPSHUFB n, Y15, tmp         \
	VPSHUFB n, Y14, n           \
	VPUNPCKLBW tmp, n, u        \
	VPUNPCKHBW tmp, n, n

// Two of four ue8m0 bytes at mem to float32 scales, one per 128-bit lane of dst; the first two with lanes
// from ·scaleLanes+0, the others from +32.
#define UE8M0PAIR(mem, lanes, dst, tmp) \
	VPBROADCASTD mem, dst           \
	VPSHUFB lanes(SB), dst, dst     \
	VPSLLD $23, dst, dst            \
	VPCMPEQD ·scaleInf8(SB), dst, tmp \
	VPMAXUD ·scaleZero8(SB), dst, dst \
	VPOR tmp, dst, dst
