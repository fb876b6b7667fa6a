#include "textflag.h"
#include "simd_avx2_amd64.h"

// The counterparts of simd_many_amd64.s for AVX2. Rows take turns within a scale block, so that the
// registers hold the sums of one row; the vectors' part of the block stays in the nearest cache. The eight
// running sums lie in the frame.

// Arguments: first row from R8 on, stride AX, vectors in SI, R13 (and R10, R11), scales from DX on, R12
// the distance to the rows that will be wanted next. The number of steps stays in its slot and counts down.
#define ARGS \
	MOVQ w+8(FP), R8         \
	MOVQ stride+16(FP), AX   \
	MOVQ ahead+24(FP), R12   \
	MOVQ x+32(FP), BX        \
	MOVQ scale+48(FP), DX    \
	MOVQ 0(BX), SI           \
	MOVQ 8(BX), R13          \
	LEAQ sums-256(SP), DI    \
	VXORPS Y0, Y0, Y0        \
	VMOVUPS Y0, (DI)         \
	VMOVUPS Y0, 32(DI)       \
	VMOVUPS Y0, 64(DI)       \
	VMOVUPS Y0, 96(DI)       \
	VMOVUPS Y0, 128(DI)      \
	VMOVUPS Y0, 160(DI)      \
	VMOVUPS Y0, 192(DI)      \
	VMOVUPS Y0, 224(DI)

#define ARGSX4 \
	ARGS                     \
	MOVQ 16(BX), R10         \
	MOVQ 24(BX), R11

#define FINISH \
	LEAQ sums-256(SP), SI    \
	MOVQ out+0(FP), DI       \
	VMOVUPS (SI), Y0         \
	VMOVUPS 32(SI), Y1       \
	VMOVUPS 64(SI), Y2       \
	VMOVUPS 96(SI), Y3       \
	SUM4OF(Y0, Y1, Y2, Y3, (DI)) \
	VMOVUPS 128(SI), Y0      \
	VMOVUPS 160(SI), Y1      \
	VMOVUPS 192(SI), Y2      \
	VMOVUPS 224(SI), Y3      \
	SUM4OF(Y0, Y1, Y2, Y3, 16(DI)) \
	VZEROUPPER

// Bytes of the next scale block of e4m3 to BX, its steps taken off; jumps to done after the last.
#define TAKE8(done) \
	MOVQ steps+40(FP), BX    \
	TESTQ BX, BX             \
	JZ   done                \
	MOVQ $8, CX              \
	CMPQ BX, CX              \
	CMOVQGT CX, BX           \
	SUBQ BX, steps+40(FP)    \
	SHLQ $4, BX              \
	VBROADCASTSS (DX), Y14   \
	ADDQ $4, DX              \
	LEAQ sums-256(SP), DI    \
	MOVQ R8, R9

#define E4M3ROW \
	PREFETCHT0 (R9)(R12*1)   \
	PREFETCHT0 64(R9)(R12*1) \
	XORQ R14, R14            \
	VXORPS Y0, Y0, Y0        \
	VXORPS Y1, Y1, Y1        \
	VXORPS Y2, Y2, Y2        \
	VXORPS Y3, Y3, Y3        \
	VXORPS Y4, Y4, Y4        \
	VXORPS Y5, Y5, Y5        \
	VXORPS Y6, Y6, Y6        \
	VXORPS Y7, Y7, Y7

// sum at mem += part·scale.
#define ADDTO(mem, scale, part) \
	VFMADD213PS mem, scale, part \
	VMOVUPS part, mem

// A register of weights with each vector, from offset o.
#define FMAX2(w, o) \
	VFMADD231PS (o)(SI), w, Y0   \
	VFMADD231PS (o)(R13), w, Y1

#define FMAX4(w, o) \
	FMAX2(w, o)                  \
	VFMADD231PS (o)(R10), w, Y2  \
	VFMADD231PS (o)(R11), w, Y3

#define MULX2(w, o) \
	VMULPS (o)(SI), w, Y0        \
	VMULPS (o)(R13), w, Y1

#define MULX4(w, o) \
	MULX2(w, o)                  \
	VMULPS (o)(R10), w, Y2       \
	VMULPS (o)(R11), w, Y3

// Products of 64 elements at mem with the vectors from xo on, without their scales.
#define E2M1HALF(MUL, FMA, mem, xo) \
	VPAND mem, Y13, Y8           \
	E2M1PAIRS(Y8, Y9, Y10)       \
	VPSLLD $16, Y10, Y9          \
	MUL(Y9, xo)                  \
	VPAND Y12, Y10, Y10          \
	FMA(Y10, xo+64)              \
	VPSLLD $16, Y8, Y9           \
	FMA(Y9, xo+128)              \
	VPAND Y12, Y8, Y8            \
	FMA(Y8, xo+192)              \
	VMOVDQU mem, Y8              \
	VPSRLW $4, Y8, Y8            \
	VPAND Y13, Y8, Y8            \
	E2M1PAIRS(Y8, Y9, Y10)       \
	VPSLLD $16, Y10, Y9          \
	FMA(Y9, xo+32)               \
	VPAND Y12, Y10, Y10          \
	FMA(Y10, xo+96)              \
	VPSLLD $16, Y8, Y9           \
	FMA(Y9, xo+160)              \
	VPAND Y12, Y8, Y8            \
	FMA(Y8, xo+224)

// func e4m3x2AVX2(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int, scale *float32)
// out[4i+r] for vectors i < 2 and rows r < 4.
TEXT ·e4m3x2AVX2(SB), NOSPLIT, $256-56
	ARGS
	E4M3CONST
x2block:
	TAKE8(x2done)
	MOVQ $4, CX
x2row:
	E4M3ROW
x2step:
	E4M3((R9)(R14*1), Y8)
	E4M3(8(R9)(R14*1), Y9)
	VFMADD231PS (SI)(R14*4), Y8, Y0
	VFMADD231PS (R13)(R14*4), Y8, Y1
	VFMADD231PS 32(SI)(R14*4), Y9, Y4
	VFMADD231PS 32(R13)(R14*4), Y9, Y5
	ADDQ $16, R14
	CMPQ R14, BX
	JLT  x2step
	VADDPS Y4, Y0, Y0
	VADDPS Y5, Y1, Y1
	ADDTO((DI), Y14, Y0)
	ADDTO(128(DI), Y14, Y1)
	ADDQ AX, R9
	ADDQ $32, DI
	DECQ CX
	JNZ  x2row
	ADDQ BX, R8
	LEAQ (SI)(BX*4), SI
	LEAQ (R13)(BX*4), R13
	JMP  x2block
x2done:
	FINISH
	RET

// func e4m3x4AVX2(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int, scale *float32)
// out[4r+i] for rows r < 2 and vectors i < 4.
TEXT ·e4m3x4AVX2(SB), NOSPLIT, $256-56
	ARGSX4
	E4M3CONST
x4block:
	TAKE8(x4done)
	MOVQ $2, CX
x4row:
	E4M3ROW
x4step:
	E4M3((R9)(R14*1), Y8)
	E4M3(8(R9)(R14*1), Y9)
	VFMADD231PS (SI)(R14*4), Y8, Y0
	VFMADD231PS (R13)(R14*4), Y8, Y1
	VFMADD231PS (R10)(R14*4), Y8, Y2
	VFMADD231PS (R11)(R14*4), Y8, Y3
	VFMADD231PS 32(SI)(R14*4), Y9, Y4
	VFMADD231PS 32(R13)(R14*4), Y9, Y5
	VFMADD231PS 32(R10)(R14*4), Y9, Y6
	VFMADD231PS 32(R11)(R14*4), Y9, Y7
	ADDQ $16, R14
	CMPQ R14, BX
	JLT  x4step
	VADDPS Y4, Y0, Y0
	VADDPS Y5, Y1, Y1
	VADDPS Y6, Y2, Y2
	VADDPS Y7, Y3, Y3
	ADDTO((DI), Y14, Y0)
	ADDTO(32(DI), Y14, Y1)
	ADDTO(64(DI), Y14, Y2)
	ADDTO(96(DI), Y14, Y3)
	ADDQ AX, R9
	ADDQ $128, DI
	DECQ CX
	JNZ  x4row
	ADDQ BX, R8
	LEAQ (SI)(BX*4), SI
	LEAQ (R13)(BX*4), R13
	LEAQ (R10)(BX*4), R10
	LEAQ (R11)(BX*4), R11
	JMP  x4block
x4done:
	FINISH
	RET

// func e2m1x2AVX2(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int,
//	scale *byte, scaleStride int)
// As e4m3x2AVX2; steps are of 128 elements.
TEXT ·e2m1x2AVX2(SB), NOSPLIT, $256-64
	ARGS
	E2M1CONSTS
m2block:
	CMPQ steps+40(FP), $0
	JEQ  m2done
	DECQ steps+40(FP)
	LEAQ sums-256(SP), DI
	MOVQ R8, R9
	MOVQ DX, R14
	MOVQ $4, CX
m2row:
	PREFETCHT0 (R9)(R12*1)
	E2M1HALF(MULX2, FMAX2, (R9), 0)
	UE8M0PAIR((R14), ·scaleLanes+0, Y8, Y9)
	ADDTO((DI), Y8, Y0)
	ADDTO(128(DI), Y8, Y1)
	E2M1HALF(MULX2, FMAX2, 32(R9), 256)
	UE8M0PAIR((R14), ·scaleLanes+32, Y8, Y9)
	ADDTO((DI), Y8, Y0)
	ADDTO(128(DI), Y8, Y1)
	ADDQ AX, R9
	ADDQ scaleStride+56(FP), R14
	ADDQ $32, DI
	DECQ CX
	JNZ  m2row
	ADDQ $64, R8
	ADDQ $512, SI
	ADDQ $512, R13
	ADDQ $4, DX
	JMP  m2block
m2done:
	FINISH
	RET

// func e2m1x4AVX2(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int,
//	scale *byte, scaleStride int)
// As e4m3x4AVX2; steps are of 128 elements.
TEXT ·e2m1x4AVX2(SB), NOSPLIT, $256-64
	ARGSX4
	E2M1CONSTS
m4block:
	CMPQ steps+40(FP), $0
	JEQ  m4done
	DECQ steps+40(FP)
	LEAQ sums-256(SP), DI
	MOVQ R8, R9
	MOVQ DX, R14
	MOVQ $2, CX
m4row:
	PREFETCHT0 (R9)(R12*1)
	E2M1HALF(MULX4, FMAX4, (R9), 0)
	UE8M0PAIR((R14), ·scaleLanes+0, Y8, Y9)
	ADDTO((DI), Y8, Y0)
	ADDTO(32(DI), Y8, Y1)
	ADDTO(64(DI), Y8, Y2)
	ADDTO(96(DI), Y8, Y3)
	E2M1HALF(MULX4, FMAX4, 32(R9), 256)
	UE8M0PAIR((R14), ·scaleLanes+32, Y8, Y9)
	ADDTO((DI), Y8, Y0)
	ADDTO(32(DI), Y8, Y1)
	ADDTO(64(DI), Y8, Y2)
	ADDTO(96(DI), Y8, Y3)
	ADDQ AX, R9
	ADDQ scaleStride+56(FP), R14
	ADDQ $128, DI
	DECQ CX
	JNZ  m4row
	ADDQ $64, R8
	ADDQ $512, SI
	ADDQ $512, R13
	ADDQ $512, R10
	ADDQ $512, R11
	ADDQ $4, DX
	JMP  m4block
m4done:
	FINISH
	RET
