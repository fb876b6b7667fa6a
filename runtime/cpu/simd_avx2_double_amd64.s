#include "textflag.h"

// The counterparts of simd_double_amd64.s for AVX2.

// Four elements of two rows of a with all four of b, from offset off past CX.
#define TILESTEP(off) \
	VCVTPS2PD off(R8)(CX*1), Y8    \
	VCVTPS2PD off(R9)(CX*1), Y9    \
	VCVTPS2PD off(R12)(CX*1), Y10  \
	VCVTPS2PD off(R13)(CX*1), Y11  \
	VCVTPS2PD off(AX)(CX*1), Y12   \
	VCVTPS2PD off(BX)(CX*1), Y13   \
	VFMADD231PD Y10, Y8, Y0        \
	VFMADD231PD Y11, Y8, Y1        \
	VFMADD231PD Y12, Y8, Y2        \
	VFMADD231PD Y13, Y8, Y3        \
	VFMADD231PD Y10, Y9, Y4        \
	VFMADD231PD Y11, Y9, Y5        \
	VFMADD231PD Y12, Y9, Y6        \
	VFMADD231PD Y13, Y9, Y7

// Lane sums of two registers.
#define SUM2TO(a, b, mem) \
	VHADDPD b, a, Y8            \
	VEXTRACTF128 $1, Y8, X9     \
	VADDPD X9, X8, X8           \
	VMOVUPD X8, mem

#define MIXROW(mem, c0, c1) \
	VBROADCASTSD mem, Y10    \
	VFMADD231PD Y8, Y10, c0  \
	VFMADD231PD Y9, Y10, c1

// func dtile4x4AVX2(out *[16]float64, a0, a1, a2, a3, b0, b1, b2, b3 *float32, steps int)
// Two passes of two rows of a: sixteen sums and their operands exceed the registers.
TEXT ·dtile4x4AVX2(SB), NOSPLIT, $0-80
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
	VXORPD Y0, Y0, Y0
	VXORPD Y1, Y1, Y1
	VXORPD Y2, Y2, Y2
	VXORPD Y3, Y3, Y3
	VXORPD Y4, Y4, Y4
	VXORPD Y5, Y5, Y5
	VXORPD Y6, Y6, Y6
	VXORPD Y7, Y7, Y7
tileloop:
	TESTQ DX, DX
	JZ   tiledone
	TILESTEP(0)
	TILESTEP(16)
	TILESTEP(32)
	TILESTEP(48)
	ADDQ $64, CX
	DECQ DX
	JMP  tileloop
tiledone:
	SUM2TO(Y0, Y1, (DI))
	SUM2TO(Y2, Y3, 16(DI))
	SUM2TO(Y4, Y5, 32(DI))
	SUM2TO(Y6, Y7, 48(DI))
	ADDQ $64, DI
	MOVQ a2+24(FP), R8
	MOVQ a3+32(FP), R9
	DECQ R10
	JNZ  tilepass
	VZEROUPPER
	RET

// func mix4AVX2(acc *float64, accStride int, p *float64, pStride int, v *float32,
//	vStride, entries, steps int)
// acc[i] += sum over e of p[i][e]·v[e], for four rows i, in steps of 16 columns. Strides are in bytes.
TEXT ·mix4AVX2(SB), NOSPLIT, $0-64
	MOVQ acc+0(FP), DI
	MOVQ accStride+8(FP), AX
	LEAQ (AX)(AX*2), BX
	MOVQ pStride+24(FP), DX
	LEAQ (DX)(DX*2), R13
	MOVQ v+32(FP), R8
	MOVQ vStride+40(FP), R9
	MOVQ steps+56(FP), R10
	ADDQ R10, R10
mixcols:
	TESTQ R10, R10
	JZ   mixdone
	VMOVUPD (DI), Y0
	VMOVUPD 32(DI), Y1
	VMOVUPD (DI)(AX*1), Y2
	VMOVUPD 32(DI)(AX*1), Y3
	VMOVUPD (DI)(AX*2), Y4
	VMOVUPD 32(DI)(AX*2), Y5
	VMOVUPD (DI)(BX*1), Y6
	VMOVUPD 32(DI)(BX*1), Y7
	MOVQ p+16(FP), SI
	MOVQ entries+48(FP), CX
	MOVQ R8, R11
mixentries:
	VCVTPS2PD (R11), Y8
	VCVTPS2PD 16(R11), Y9
	MIXROW((SI), Y0, Y1)
	MIXROW((SI)(DX*1), Y2, Y3)
	MIXROW((SI)(DX*2), Y4, Y5)
	MIXROW((SI)(R13*1), Y6, Y7)
	ADDQ R9, R11
	ADDQ $8, SI
	DECQ CX
	JNZ  mixentries
	VMOVUPD Y0, (DI)
	VMOVUPD Y1, 32(DI)
	VMOVUPD Y2, (DI)(AX*1)
	VMOVUPD Y3, 32(DI)(AX*1)
	VMOVUPD Y4, (DI)(AX*2)
	VMOVUPD Y5, 32(DI)(AX*2)
	VMOVUPD Y6, (DI)(BX*1)
	VMOVUPD Y7, 32(DI)(BX*1)
	ADDQ $64, DI
	ADDQ $32, R8
	DECQ R10
	JMP  mixcols
mixdone:
	VZEROUPPER
	RET
