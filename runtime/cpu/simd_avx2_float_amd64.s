#include "textflag.h"
#include "simd_avx2_amd64.h"

// The counterparts of simd_float_amd64.s for AVX2.

// Eight elements of two rows of a with all four of b, from offset off past CX.
#define TILESTEP(off) \
	VMOVUPS off(R8)(CX*1), Y8    \
	VMOVUPS off(R9)(CX*1), Y9    \
	VMOVUPS off(R12)(CX*1), Y10  \
	VMOVUPS off(R13)(CX*1), Y11  \
	VMOVUPS off(AX)(CX*1), Y12   \
	VMOVUPS off(BX)(CX*1), Y13   \
	VFMADD231PS Y10, Y8, Y0      \
	VFMADD231PS Y11, Y8, Y1      \
	VFMADD231PS Y12, Y8, Y2      \
	VFMADD231PS Y13, Y8, Y3      \
	VFMADD231PS Y10, Y9, Y4      \
	VFMADD231PS Y11, Y9, Y5      \
	VFMADD231PS Y12, Y9, Y6      \
	VFMADD231PS Y13, Y9, Y7

// The bf16 nearest to each lane, ties to even; finite values only.
#define ROUNDBF16(v, tmp) \
	VPSRLD $16, v, tmp       \
	VPAND Y13, tmp, tmp      \
	VPADDD Y14, tmp, tmp     \
	VPADDD tmp, v, v         \
	VPAND Y15, v, v

#define RATESTEP(off, v, tmp) \
	VMOVUPS off(SI), v       \
	ROUNDBF16(v, tmp)        \
	VMAXPS Y12, v, v         \
	VMULPS Y11, v, v         \
	ROUNDBF16(v, tmp)        \
	VADDPS off(DI), v, v     \
	VMOVUPS v, off(DI)

// func tile4x4AVX2(out *[16]float32, a0, a1, a2, a3, b0, b1, b2, b3 *float32, steps int)
// Two passes of two rows of a: sixteen sums and their operands exceed the registers.
TEXT ·tile4x4AVX2(SB), NOSPLIT, $0-80
	MOVQ out+0(FP), DI
	MOVQ a0+8(FP), R8
	MOVQ a1+16(FP), R9
	MOVQ b0+40(FP), R12
	MOVQ b1+48(FP), R13
	MOVQ b2+56(FP), AX
	MOVQ b3+64(FP), BX
	MOVQ $2, R10
tilepass:
	MOVQ steps+72(FP), DX
	XORQ CX, CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
tileloop:
	TESTQ DX, DX
	JZ   tiledone
	TILESTEP(0)
	TILESTEP(32)
	ADDQ $64, CX
	DECQ DX
	JMP  tileloop
tiledone:
	SUM4OF(Y0, Y1, Y2, Y3, (DI))
	SUM4OF(Y4, Y5, Y6, Y7, 16(DI))
	ADDQ $32, DI
	MOVQ a2+24(FP), R8
	MOVQ a3+32(FP), R9
	DECQ R10
	JNZ  tilepass
	VZEROUPPER
	RET

// func rate16AVX2(sums, dots *float32, weight float32, steps int)
// sums += bf16(max(bf16(dots), 0)·weight), in steps of 16.
TEXT ·rate16AVX2(SB), NOSPLIT, $0-32
	MOVQ sums+0(FP), DI
	MOVQ dots+8(FP), SI
	VBROADCASTSS weight+16(FP), Y11
	MOVQ steps+24(FP), CX
	VPCMPEQD Y15, Y15, Y15
	VPSRLD $31, Y15, Y13
	VPSRLD $17, Y15, Y14
	VPSLLD $16, Y15, Y15
	VXORPS Y12, Y12, Y12
rateloop:
	TESTQ CX, CX
	JZ   ratedone
	RATESTEP(0, Y0, Y1)
	RATESTEP(32, Y2, Y3)
	ADDQ $64, SI
	ADDQ $64, DI
	DECQ CX
	JMP  rateloop
ratedone:
	VZEROUPPER
	RET
