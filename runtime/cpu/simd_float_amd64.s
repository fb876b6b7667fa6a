#include "textflag.h"

// Kernels on float32 operands: blocks of dot products, index scores.

#define TILEROW(a, c0, c1, c2, c3) \
	VFMADD231PS Z20, a, c0 \
	VFMADD231PS Z21, a, c1 \
	VFMADD231PS Z22, a, c2 \
	VFMADD231PS Z23, a, c3

// Lane sums of four registers, left spread over the four words of each lane of dst.
#define LANES4(c0, c1, c2, c3, dst) \
	VUNPCKLPS c1, c0, Z24    \
	VUNPCKHPS c1, c0, Z25    \
	VADDPS Z25, Z24, Z24     \
	VUNPCKLPS c3, c2, Z25    \
	VUNPCKHPS c3, c2, Z26    \
	VADDPS Z26, Z25, Z25     \
	VUNPCKLPD Z25, Z24, Z26  \
	VUNPCKHPD Z25, Z24, Z27  \
	VADDPS Z27, Z26, dst

// The bf16 nearest to each lane, ties to even; finite values only.
#define ROUNDBF16(v, tmp) \
	VPSRLD $16, v, tmp       \
	VPANDD Z30, tmp, tmp     \
	VPADDD Z29, tmp, tmp     \
	VPADDD tmp, v, v         \
	VPANDD Z31, v, v

// func tile4x4AVX512(out *[16]float32, a0, a1, a2, a3, b0, b1, b2, b3 *float32, steps int)
TEXT ·tile4x4AVX512(SB), NOSPLIT, $0-80
	MOVQ a0+8(FP), R8
	MOVQ a1+16(FP), R9
	MOVQ a2+24(FP), R10
	MOVQ a3+32(FP), R11
	MOVQ b0+40(FP), R12
	MOVQ b1+48(FP), R13
	MOVQ b2+56(FP), AX
	MOVQ b3+64(FP), BX
	MOVQ steps+72(FP), DX
	XORQ CX, CX
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3
	VPXORD Z4, Z4, Z4
	VPXORD Z5, Z5, Z5
	VPXORD Z6, Z6, Z6
	VPXORD Z7, Z7, Z7
	VPXORD Z8, Z8, Z8
	VPXORD Z9, Z9, Z9
	VPXORD Z10, Z10, Z10
	VPXORD Z11, Z11, Z11
	VPXORD Z12, Z12, Z12
	VPXORD Z13, Z13, Z13
	VPXORD Z14, Z14, Z14
	VPXORD Z15, Z15, Z15
tileloop:
	TESTQ DX, DX
	JZ   tiledone
	VMOVUPS (R12)(CX*1), Z20
	VMOVUPS (R13)(CX*1), Z21
	VMOVUPS (AX)(CX*1), Z22
	VMOVUPS (BX)(CX*1), Z23
	VMOVUPS (R8)(CX*1), Z16
	VMOVUPS (R9)(CX*1), Z17
	VMOVUPS (R10)(CX*1), Z18
	VMOVUPS (R11)(CX*1), Z19
	TILEROW(Z16, Z0, Z1, Z2, Z3)
	TILEROW(Z17, Z4, Z5, Z6, Z7)
	TILEROW(Z18, Z8, Z9, Z10, Z11)
	TILEROW(Z19, Z12, Z13, Z14, Z15)
	ADDQ $64, CX
	DECQ DX
	JMP  tileloop
tiledone:
	LANES4(Z0, Z1, Z2, Z3, Z16)
	LANES4(Z4, Z5, Z6, Z7, Z17)
	LANES4(Z8, Z9, Z10, Z11, Z18)
	LANES4(Z12, Z13, Z14, Z15, Z19)
	VSHUFF32X4 $0x44, Z17, Z16, Z20
	VSHUFF32X4 $0xEE, Z17, Z16, Z21
	VADDPS Z21, Z20, Z20
	VSHUFF32X4 $0x44, Z19, Z18, Z21
	VSHUFF32X4 $0xEE, Z19, Z18, Z22
	VADDPS Z22, Z21, Z21
	VSHUFF32X4 $0x88, Z21, Z20, Z22
	VSHUFF32X4 $0xDD, Z21, Z20, Z23
	VADDPS Z23, Z22, Z22
	MOVQ out+0(FP), DI
	VMOVUPS Z22, (DI)
	VZEROUPPER
	RET

// func rate16AVX512(sums, dots *float32, weight float32, steps int)
// sums += bf16(max(bf16(dots), 0)·weight), in steps of 16.
TEXT ·rate16AVX512(SB), NOSPLIT, $0-32
	MOVQ sums+0(FP), DI
	MOVQ dots+8(FP), SI
	VBROADCASTSS weight+16(FP), Z16
	MOVQ steps+24(FP), CX
	MOVL $1, AX
	VPBROADCASTD AX, Z30
	MOVL $0x7fff, AX
	VPBROADCASTD AX, Z29
	MOVL $0xffff0000, AX
	VPBROADCASTD AX, Z31
	VPXORD Z17, Z17, Z17
rateloop:
	TESTQ CX, CX
	JZ   ratedone
	VMOVUPS (SI), Z0
	ROUNDBF16(Z0, Z1)
	VMAXPS Z17, Z0, Z0
	VMULPS Z16, Z0, Z0
	ROUNDBF16(Z0, Z1)
	VADDPS (DI), Z0, Z0
	VMOVUPS Z0, (DI)
	ADDQ $64, SI
	ADDQ $64, DI
	DECQ CX
	JMP  rateloop
ratedone:
	VZEROUPPER
	RET
