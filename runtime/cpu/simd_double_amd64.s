#include "textflag.h"

// Kernels that widen float32 operands to float64 and sum in it: blocks of dot products and weighted sums of
// rows.

#define TILEROW(a, c0, c1, c2, c3) \
	VFMADD231PD Z20, a, c0 \
	VFMADD231PD Z21, a, c1 \
	VFMADD231PD Z22, a, c2 \
	VFMADD231PD Z23, a, c3

// Eight elements of four rows with four, from offset off past CX.
#define TILESTEP(off) \
	VCVTPS2PD off(R12)(CX*1), Z20    \
	VCVTPS2PD off(R13)(CX*1), Z21    \
	VCVTPS2PD off(AX)(CX*1), Z22     \
	VCVTPS2PD off(BX)(CX*1), Z23     \
	VCVTPS2PD off(R8)(CX*1), Z16     \
	VCVTPS2PD off(R9)(CX*1), Z17     \
	VCVTPS2PD off(R10)(CX*1), Z18    \
	VCVTPS2PD off(R11)(CX*1), Z19    \
	TILEROW(Z16, Z0, Z1, Z2, Z3)     \
	TILEROW(Z17, Z4, Z5, Z6, Z7)     \
	TILEROW(Z18, Z8, Z9, Z10, Z11)   \
	TILEROW(Z19, Z12, Z13, Z14, Z15)

// Lane sums of four registers, each still in two parts: the 128-bit lanes of dst are c0 and c1, their second
// parts, c2 and c3, theirs.
#define LANES4(c0, c1, c2, c3, dst) \
	VUNPCKLPD c1, c0, Z24          \
	VUNPCKHPD c1, c0, Z25          \
	VADDPD Z25, Z24, Z24           \
	VUNPCKLPD c3, c2, Z25          \
	VUNPCKHPD c3, c2, Z26          \
	VADDPD Z26, Z25, Z25           \
	VSHUFF64X2 $0x44, Z25, Z24, Z26 \
	VSHUFF64X2 $0xEE, Z25, Z24, Z27 \
	VADDPD Z27, Z26, dst

// Eight sums to memory from two results of LANES4.
#define SUM8TO(a, b, mem) \
	VSHUFF64X2 $0x88, b, a, Z24    \
	VSHUFF64X2 $0xDD, b, a, Z25    \
	VADDPD Z25, Z24, Z24           \
	VMOVUPD Z24, mem

#define MIXROW(mem, c0, c1) \
	VBROADCASTSD mem, Z18    \
	VFMADD231PD Z16, Z18, c0 \
	VFMADD231PD Z17, Z18, c1

// func dtile4x4AVX512(out *[16]float64, a0, a1, a2, a3, b0, b1, b2, b3 *float32, steps int)
TEXT ·dtile4x4AVX512(SB), NOSPLIT, $0-80
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
	TILESTEP(0)
	TILESTEP(32)
	ADDQ $64, CX
	DECQ DX
	JMP  tileloop
tiledone:
	LANES4(Z0, Z1, Z2, Z3, Z16)
	LANES4(Z4, Z5, Z6, Z7, Z17)
	LANES4(Z8, Z9, Z10, Z11, Z18)
	LANES4(Z12, Z13, Z14, Z15, Z19)
	MOVQ out+0(FP), DI
	SUM8TO(Z16, Z17, (DI))
	SUM8TO(Z18, Z19, 64(DI))
	VZEROUPPER
	RET

// func mix4AVX512(acc *float64, accStride int, p *float64, pStride int, v *float32,
//	vStride, entries, steps int)
// acc[i] += sum over e of p[i][e]·v[e], for four rows i, in steps of 16 columns. Strides are in bytes.
TEXT ·mix4AVX512(SB), NOSPLIT, $0-64
	MOVQ acc+0(FP), DI
	MOVQ accStride+8(FP), AX
	LEAQ (AX)(AX*2), BX
	MOVQ pStride+24(FP), DX
	LEAQ (DX)(DX*2), R13
	MOVQ v+32(FP), R8
	MOVQ vStride+40(FP), R9
	MOVQ steps+56(FP), R10
mixcols:
	TESTQ R10, R10
	JZ   mixdone
	VMOVUPD (DI), Z0
	VMOVUPD 64(DI), Z1
	VMOVUPD (DI)(AX*1), Z2
	VMOVUPD 64(DI)(AX*1), Z3
	VMOVUPD (DI)(AX*2), Z4
	VMOVUPD 64(DI)(AX*2), Z5
	VMOVUPD (DI)(BX*1), Z6
	VMOVUPD 64(DI)(BX*1), Z7
	MOVQ p+16(FP), SI
	MOVQ entries+48(FP), CX
	MOVQ R8, R11
mixentries:
	VCVTPS2PD (R11), Z16
	VCVTPS2PD 32(R11), Z17
	MIXROW((SI), Z0, Z1)
	MIXROW((SI)(DX*1), Z2, Z3)
	MIXROW((SI)(DX*2), Z4, Z5)
	MIXROW((SI)(R13*1), Z6, Z7)
	ADDQ R9, R11
	ADDQ $8, SI
	DECQ CX
	JNZ  mixentries
	VMOVUPD Z0, (DI)
	VMOVUPD Z1, 64(DI)
	VMOVUPD Z2, (DI)(AX*1)
	VMOVUPD Z3, 64(DI)(AX*1)
	VMOVUPD Z4, (DI)(AX*2)
	VMOVUPD Z5, 64(DI)(AX*2)
	VMOVUPD Z6, (DI)(BX*1)
	VMOVUPD Z7, 64(DI)(BX*1)
	ADDQ $128, DI
	ADDQ $64, R8
	DECQ R10
	JMP  mixcols
mixdone:
	VZEROUPPER
	RET
