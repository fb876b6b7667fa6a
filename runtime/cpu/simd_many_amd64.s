#include "textflag.h"
#include "simd_amd64.h"

// Products of a few weight rows with several vectors at once: widening a weight costs more than
// multiplying it, so two to four vectors share it. Registers: sums in Z0..Z3 and Z8..Z11, those of the
// current scale block in Z4..Z7 and Z12..Z15.

#define CLEARSUMS \
	VPXORD Z0, Z0, Z0     \
	VPXORD Z1, Z1, Z1     \
	VPXORD Z2, Z2, Z2     \
	VPXORD Z3, Z3, Z3     \
	VPXORD Z8, Z8, Z8     \
	VPXORD Z9, Z9, Z9     \
	VPXORD Z10, Z10, Z10  \
	VPXORD Z11, Z11, Z11

#define CLEARPARTS \
	VPXORD Z4, Z4, Z4     \
	VPXORD Z5, Z5, Z5     \
	VPXORD Z6, Z6, Z6     \
	VPXORD Z7, Z7, Z7     \
	VPXORD Z12, Z12, Z12  \
	VPXORD Z13, Z13, Z13  \
	VPXORD Z14, Z14, Z14  \
	VPXORD Z15, Z15, Z15

#define SUM8 \
	SUM4TO((DI))          \
	VMOVAPS Z8, Z0        \
	VMOVAPS Z9, Z1        \
	VMOVAPS Z10, Z2       \
	VMOVAPS Z11, Z3       \
	SUM4TO(16(DI))

// Arguments shared by all four: w rows from R8 on, vectors in SI, R13 (and R10, R11).
#define ARGS \
	MOVQ out+0(FP), DI       \
	MOVQ w+8(FP), R8         \
	MOVQ stride+16(FP), AX   \
	MOVQ ahead+24(FP), R12   \
	MOVQ x+32(FP), BX        \
	MOVQ steps+40(FP), CX    \
	MOVQ scale+48(FP), DX    \
	LEAQ (R8)(AX*1), R9      \
	MOVQ 0(BX), SI           \
	MOVQ 8(BX), R13

#define ROWS4X2 \
	LEAQ (R9)(AX*1), R10     \
	LEAQ (R10)(AX*1), R11

#define ROWS2X4 \
	MOVQ 16(BX), R10         \
	MOVQ 24(BX), R11

// Two vectors by four weights, four vectors by two.
#define FMA4X2 \
	VFMADD231PS Z22, Z20, Z4   \
	VFMADD231PS Z23, Z20, Z5   \
	VFMADD231PS Z24, Z20, Z6   \
	VFMADD231PS Z25, Z20, Z7   \
	VFMADD231PS Z22, Z21, Z12  \
	VFMADD231PS Z23, Z21, Z13  \
	VFMADD231PS Z24, Z21, Z14  \
	VFMADD231PS Z25, Z21, Z15

#define FMA2X4 \
	VFMADD231PS Z22, Z18, Z4   \
	VFMADD231PS Z22, Z19, Z5   \
	VFMADD231PS Z22, Z20, Z6   \
	VFMADD231PS Z22, Z21, Z7   \
	VFMADD231PS Z23, Z18, Z12  \
	VFMADD231PS Z23, Z19, Z13  \
	VFMADD231PS Z23, Z20, Z14  \
	VFMADD231PS Z23, Z21, Z15

#define LOADX2(off) \
	VMOVUPS off(SI), Z20       \
	VMOVUPS off(R13), Z21

#define LOADX4(off) \
	VMOVUPS off(SI), Z18       \
	VMOVUPS off(R13), Z19      \
	VMOVUPS off(R10), Z20      \
	VMOVUPS off(R11), Z21

#define E4M3(mem, dst) \
	VPMOVSXBD mem, dst         \
	VPSLLD $20, dst, dst       \
	VPANDD Z31, dst, dst

#define E4M3STEP4X2(o, xo) \
	LOADX2(xo)                 \
	E4M3(o(R8), Z22)           \
	E4M3(o(R9), Z23)           \
	E4M3(o(R10), Z24)          \
	E4M3(o(R11), Z25)          \
	FMA4X2

#define E4M3STEP2X4(o, xo) \
	LOADX4(xo)                 \
	E4M3(o(R8), Z22)           \
	E4M3(o(R9), Z23)           \
	FMA2X4

// Number of steps of the next scale block to BX, taken off CX.
#define TAKE8 \
	MOVQ $8, BX                \
	CMPQ CX, BX                \
	CMOVQLT CX, BX             \
	SUBQ BX, CX

#define SCALEBLOCK \
	VBROADCASTSS (DX), Z16     \
	ADDQ $4, DX                \
	VFMADD231PS Z16, Z4, Z0    \
	VFMADD231PS Z16, Z5, Z1    \
	VFMADD231PS Z16, Z6, Z2    \
	VFMADD231PS Z16, Z7, Z3    \
	VFMADD231PS Z16, Z12, Z8   \
	VFMADD231PS Z16, Z13, Z9   \
	VFMADD231PS Z16, Z14, Z10  \
	VFMADD231PS Z16, Z15, Z11

#define E4M3CONST \
	MOVL $0x87f00000, AX       \
	VPBROADCASTD AX, Z31

#define E2M1STEP4X2(off) \
	LOADX2(off)                \
	VPERMPS Z30, Z16, Z22      \
	VPERMPS Z30, Z17, Z23      \
	VPERMPS Z30, Z18, Z24      \
	VPERMPS Z30, Z19, Z25      \
	VPSRLD $4, Z16, Z16        \
	VPSRLD $4, Z17, Z17        \
	VPSRLD $4, Z18, Z18        \
	VPSRLD $4, Z19, Z19        \
	FMA4X2

#define E2M1STEP2X4(off) \
	LOADX4(off)                \
	VPERMPS Z30, Z16, Z22      \
	VPERMPS Z30, Z17, Z23      \
	VPSRLD $4, Z16, Z16        \
	VPSRLD $4, Z17, Z17        \
	FMA2X4

// func e4m3x2AVX512(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int, scale *float32)
// out[4i+r] for vectors i < 2 and rows r < 4.
TEXT ·e4m3x2AVX512(SB), NOSPLIT, $0-56
	ARGS
	ROWS4X2
	E4M3CONST
	CLEARSUMS
x2block:
	TESTQ CX, CX
	JZ   x2done
	CLEARPARTS
	TAKE8
	SUBQ $4, BX
	JL   x2tail
x2loop:
	PREFETCH4
	E4M3STEP4X2(0, 0)
	E4M3STEP4X2(16, 64)
	E4M3STEP4X2(32, 128)
	E4M3STEP4X2(48, 192)
	ADDQ $64, R8
	ADDQ $64, R9
	ADDQ $64, R10
	ADDQ $64, R11
	ADDQ $256, SI
	ADDQ $256, R13
	SUBQ $4, BX
	JGE  x2loop
x2tail:
	ADDQ $4, BX
	JZ   x2scale
x2one:
	E4M3STEP4X2(0, 0)
	ADDQ $16, R8
	ADDQ $16, R9
	ADDQ $16, R10
	ADDQ $16, R11
	ADDQ $64, SI
	ADDQ $64, R13
	DECQ BX
	JNZ  x2one
x2scale:
	SCALEBLOCK
	JMP  x2block
x2done:
	SUM8
	VZEROUPPER
	RET

// func e4m3x4AVX512(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int, scale *float32)
// out[4r+i] for rows r < 2 and vectors i < 4.
TEXT ·e4m3x4AVX512(SB), NOSPLIT, $0-56
	ARGS
	ROWS2X4
	E4M3CONST
	CLEARSUMS
x4block:
	TESTQ CX, CX
	JZ   x4done
	CLEARPARTS
	TAKE8
	SUBQ $4, BX
	JL   x4tail
x4loop:
	PREFETCH2
	E4M3STEP2X4(0, 0)
	E4M3STEP2X4(16, 64)
	E4M3STEP2X4(32, 128)
	E4M3STEP2X4(48, 192)
	ADDQ $64, R8
	ADDQ $64, R9
	ADDQ $256, R10
	ADDQ $256, R11
	ADDQ $256, SI
	ADDQ $256, R13
	SUBQ $4, BX
	JGE  x4loop
x4tail:
	ADDQ $4, BX
	JZ   x4scale
x4one:
	E4M3STEP2X4(0, 0)
	ADDQ $16, R8
	ADDQ $16, R9
	ADDQ $64, R10
	ADDQ $64, R11
	ADDQ $64, SI
	ADDQ $64, R13
	DECQ BX
	JNZ  x4one
x4scale:
	SCALEBLOCK
	JMP  x4block
x4done:
	SUM8
	VZEROUPPER
	RET

// func e2m1x2AVX512(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int,
//	scale *byte, scaleStride int)
// As e4m3x2AVX512; steps are of 128 elements.
TEXT ·e2m1x2AVX512(SB), NOSPLIT, $0-64
	ARGS
	ROWS4X2
	UE8M0CONSTS
	CLEARSUMS
	MOVQ scaleStride+56(FP), AX
	LEAQ (AX)(AX*2), BX
m2loop:
	TESTQ CX, CX
	JZ   m2done
	CLEARPARTS
	PREFETCH4
	VMOVDQU32 (R8), Z16
	VMOVDQU32 (R9), Z17
	VMOVDQU32 (R10), Z18
	VMOVDQU32 (R11), Z19
	E2M1STEP4X2(0)
	E2M1STEP4X2(64)
	E2M1STEP4X2(128)
	E2M1STEP4X2(192)
	E2M1STEP4X2(256)
	E2M1STEP4X2(320)
	E2M1STEP4X2(384)
	E2M1STEP4X2(448)
	UE8M0LANES((DX), Z22)
	VFMADD231PS Z22, Z4, Z0
	VFMADD231PS Z22, Z12, Z8
	UE8M0LANES((DX)(AX*1), Z23)
	VFMADD231PS Z23, Z5, Z1
	VFMADD231PS Z23, Z13, Z9
	UE8M0LANES((DX)(AX*2), Z24)
	VFMADD231PS Z24, Z6, Z2
	VFMADD231PS Z24, Z14, Z10
	UE8M0LANES((DX)(BX*1), Z25)
	VFMADD231PS Z25, Z7, Z3
	VFMADD231PS Z25, Z15, Z11
	ADDQ $64, R8
	ADDQ $64, R9
	ADDQ $64, R10
	ADDQ $64, R11
	ADDQ $512, SI
	ADDQ $512, R13
	ADDQ $4, DX
	DECQ CX
	JMP  m2loop
m2done:
	SUM8
	VZEROUPPER
	RET

// func e2m1x4AVX512(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int,
//	scale *byte, scaleStride int)
// As e4m3x4AVX512; steps are of 128 elements.
TEXT ·e2m1x4AVX512(SB), NOSPLIT, $0-64
	ARGS
	ROWS2X4
	UE8M0CONSTS
	CLEARSUMS
	MOVQ scaleStride+56(FP), AX
m4loop:
	TESTQ CX, CX
	JZ   m4done
	CLEARPARTS
	PREFETCH2
	VMOVDQU32 (R8), Z16
	VMOVDQU32 (R9), Z17
	E2M1STEP2X4(0)
	E2M1STEP2X4(64)
	E2M1STEP2X4(128)
	E2M1STEP2X4(192)
	E2M1STEP2X4(256)
	E2M1STEP2X4(320)
	E2M1STEP2X4(384)
	E2M1STEP2X4(448)
	UE8M0LANES((DX), Z22)
	VFMADD231PS Z22, Z4, Z0
	VFMADD231PS Z22, Z5, Z1
	VFMADD231PS Z22, Z6, Z2
	VFMADD231PS Z22, Z7, Z3
	UE8M0LANES((DX)(AX*1), Z23)
	VFMADD231PS Z23, Z12, Z8
	VFMADD231PS Z23, Z13, Z9
	VFMADD231PS Z23, Z14, Z10
	VFMADD231PS Z23, Z15, Z11
	ADDQ $64, R8
	ADDQ $64, R9
	ADDQ $512, SI
	ADDQ $512, R13
	ADDQ $512, R10
	ADDQ $512, R11
	ADDQ $4, DX
	DECQ CX
	JMP  m4loop
m4done:
	SUM8
	VZEROUPPER
	RET
