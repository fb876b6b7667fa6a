// Macros shared by the assembly files; the constants are defined in simd_amd64.s.

// Lane sums of Z0..Z3 to four floats.
#define SUM4TO(mem) \
	VUNPCKLPS Z1, Z0, Z4        \
	VUNPCKHPS Z1, Z0, Z5        \
	VADDPS Z5, Z4, Z4           \
	VUNPCKLPS Z3, Z2, Z5        \
	VUNPCKHPS Z3, Z2, Z6        \
	VADDPS Z6, Z5, Z5           \
	VUNPCKLPD Z5, Z4, Z6        \
	VUNPCKHPD Z5, Z4, Z7        \
	VADDPS Z7, Z6, Z0           \
	VEXTRACTF64X4 $1, Z0, Y1    \
	VADDPS Y1, Y0, Y0           \
	VEXTRACTF128 $1, Y0, X1     \
	VADDPS X1, X0, X0           \
	VMOVUPS X0, mem

// Early requests for two or four rows of weights, R12 bytes ahead.
#define PREFETCH2 \
	PREFETCHT0 (R8)(R12*1)   \
	PREFETCHT0 (R9)(R12*1)

#define PREFETCH4 \
	PREFETCH2                \
	PREFETCHT0 (R10)(R12*1)  \
	PREFETCHT0 (R11)(R12*1)

// Four ue8m0 bytes at mem to float32 scales, one per 128-bit lane of dst.
#define UE8M0LANES(mem, dst) \
	VPBROADCASTD mem, dst     \
	VPSHUFB Z29, dst, dst     \
	VPSLLD $23, dst, dst      \
	VPCMPEQD Z27, dst, K1     \
	VPMAXUD Z28, dst, dst     \
	VMOVDQA32 Z26, K1, dst

// Constants of the e2m1 kernels: values by code in Z30, and what UE8M0LANES needs.
#define UE8M0CONSTS \
	VMOVDQU32 ·e2m1Table(SB), Z30      \
	VMOVDQU32 ·scaleLanes(SB), Z29     \
	VPBROADCASTD ·scaleZero(SB), Z28   \
	VPBROADCASTD ·scaleInf(SB), Z27    \
	VPBROADCASTD ·scaleNaN(SB), Z26

// Arguments of the four-row products: weights in R8..R11, vector in SI, 16-element steps in CX, and
// R12 the distance in bytes to the rows that will be wanted next.
#define ROWS4 \
	MOVQ out+0(FP), DI       \
	MOVQ w+8(FP), R8         \
	MOVQ stride+16(FP), AX   \
	MOVQ ahead+24(FP), R12   \
	MOVQ x+32(FP), SI        \
	MOVQ steps+40(FP), CX    \
	LEAQ (R8)(AX*1), R9      \
	LEAQ (R9)(AX*1), R10     \
	LEAQ (R10)(AX*1), R11    \
	VPXORD Z0, Z0, Z0        \
	VPXORD Z1, Z1, Z1        \
	VPXORD Z2, Z2, Z2        \
	VPXORD Z3, Z3, Z3

#define NEXT4(n) \
	ADDQ $n, R8  \
	ADDQ $n, R9  \
	ADDQ $n, R10 \
	ADDQ $n, R11
