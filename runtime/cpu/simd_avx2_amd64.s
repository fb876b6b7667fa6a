#include "textflag.h"
#include "simd_avx2_amd64.h"

// The counterparts of simd_amd64.s for AVX2 and FMA: eight lanes per register, and steps of the same
// length, so two registers make a step of 16 elements.

// See e4m3Mask in simd_amd64.s.
DATA ·e4m3Mask8+0(SB)/4, $0x87f00000
GLOBL ·e4m3Mask8(SB), RODATA|NOPTR, $4

// The e2m1 values 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives as bf16: upper bytes, lower bytes.
DATA ·e2m1Upper+0(SB)/8, $0x404040403f3f3f00
DATA ·e2m1Upper+8(SB)/8, $0xc0c0c0c0bfbfbf80
DATA ·e2m1Upper+16(SB)/8, $0x404040403f3f3f00
DATA ·e2m1Upper+24(SB)/8, $0xc0c0c0c0bfbfbf80
GLOBL ·e2m1Upper(SB), RODATA|NOPTR, $32
DATA ·e2m1Lower+0(SB)/8, $0xc0804000c0800000
DATA ·e2m1Lower+8(SB)/8, $0xc0804000c0800000
DATA ·e2m1Lower+16(SB)/8, $0xc0804000c0800000
DATA ·e2m1Lower+24(SB)/8, $0xc0804000c0800000
GLOBL ·e2m1Lower(SB), RODATA|NOPTR, $32

DATA ·lowNibbles+0(SB)/4, $0x0f0f0f0f
GLOBL ·lowNibbles(SB), RODATA|NOPTR, $4
DATA ·upperWord+0(SB)/4, $0xffff0000
GLOBL ·upperWord(SB), RODATA|NOPTR, $4

// ue8m0 byte 255 shifted into the exponent; setting every bit makes it the NaN it stands for.
DATA ·scaleInf8+0(SB)/8, $0x7f8000007f800000
DATA ·scaleInf8+8(SB)/8, $0x7f8000007f800000
DATA ·scaleInf8+16(SB)/8, $0x7f8000007f800000
DATA ·scaleInf8+24(SB)/8, $0x7f8000007f800000
GLOBL ·scaleInf8(SB), RODATA|NOPTR, $32

// ue8m0 byte 0 as a float32: the subnormal 2^-127.
DATA ·scaleZero8+0(SB)/8, $0x0040000000400000
DATA ·scaleZero8+8(SB)/8, $0x0040000000400000
DATA ·scaleZero8+16(SB)/8, $0x0040000000400000
DATA ·scaleZero8+24(SB)/8, $0x0040000000400000
GLOBL ·scaleZero8(SB), RODATA|NOPTR, $32

// Word 0 to the lower 128-bit lane, word 1 to the upper.
DATA firstTwo<>+0(SB)/8, $0
DATA firstTwo<>+8(SB)/8, $0
DATA firstTwo<>+16(SB)/8, $0x0000000100000001
DATA firstTwo<>+24(SB)/8, $0x0000000100000001
GLOBL firstTwo<>(SB), RODATA|NOPTR, $32

// Arguments of the four-row products: weights in R8..R11, vector in SI, steps in CX, and R12 the distance
// in bytes to the rows that will be wanted next.
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
	VXORPS Y0, Y0, Y0        \
	VXORPS Y1, Y1, Y1        \
	VXORPS Y2, Y2, Y2        \
	VXORPS Y3, Y3, Y3

#define CLEARPARTS \
	VXORPS Y4, Y4, Y4        \
	VXORPS Y5, Y5, Y5        \
	VXORPS Y6, Y6, Y6        \
	VXORPS Y7, Y7, Y7

#define ADDPARTS \
	VADDPS Y4, Y0, Y0        \
	VADDPS Y5, Y1, Y1        \
	VADDPS Y6, Y2, Y2        \
	VADDPS Y7, Y3, Y3

#define NEXT4(n) \
	ADDQ $n, R8  \
	ADDQ $n, R9  \
	ADDQ $n, R10 \
	ADDQ $n, R11

#define PREFETCH4 \
	PREFETCHT0 (R8)(R12*1)   \
	PREFETCHT0 (R9)(R12*1)   \
	PREFETCHT0 (R10)(R12*1)  \
	PREFETCHT0 (R11)(R12*1)

#define BF16STEP(off, row, x, tmp, acc) \
	VPMOVZXWD off(row), tmp  \
	VPSLLD $16, tmp, tmp     \
	VFMADD231PS tmp, x, acc

#define E4M3STEP(off, row, x, tmp, acc) \
	E4M3(off(row), tmp)      \
	VFMADD231PS tmp, x, acc

// Eight elements from offset off against those of x from xo, four rows.
#define BF16STEP4(off, xo, a0, a1, a2, a3) \
	VMOVUPS xo(SI), Y8              \
	BF16STEP(off, R8, Y8, Y9, a0)   \
	BF16STEP(off, R9, Y8, Y10, a1)  \
	BF16STEP(off, R10, Y8, Y11, a2) \
	BF16STEP(off, R11, Y8, Y12, a3)

#define E4M3STEP4(off, xo) \
	VMOVUPS xo(SI), Y8              \
	E4M3STEP(off, R8, Y8, Y9, Y4)   \
	E4M3STEP(off, R9, Y8, Y10, Y5)  \
	E4M3STEP(off, R10, Y8, Y11, Y6) \
	E4M3STEP(off, R11, Y8, Y12, Y7)

// Sum to Y4 of 64 elements at mem, without their scales, against x from xo on.
#define E2M1HALF(mem, xo) \
	VMOVDQU mem, Y6                      \
	VPSRLW $4, Y6, Y7                    \
	VPAND Y13, Y6, Y6                    \
	VPAND Y13, Y7, Y7                    \
	E2M1PAIRS(Y6, Y8, Y9)                \
	VPSLLD $16, Y9, Y8                   \
	VMULPS (xo)(SI), Y8, Y4              \
	VPAND Y12, Y9, Y9                    \
	VMULPS (xo+64)(SI), Y9, Y5           \
	VPSLLD $16, Y6, Y8                   \
	VFMADD231PS (xo+128)(SI), Y8, Y4     \
	VPAND Y12, Y6, Y6                    \
	VFMADD231PS (xo+192)(SI), Y6, Y5     \
	E2M1PAIRS(Y7, Y8, Y9)                \
	VPSLLD $16, Y9, Y8                   \
	VFMADD231PS (xo+32)(SI), Y8, Y4      \
	VPAND Y12, Y9, Y9                    \
	VFMADD231PS (xo+96)(SI), Y9, Y5      \
	VPSLLD $16, Y7, Y8                   \
	VFMADD231PS (xo+160)(SI), Y8, Y4     \
	VPAND Y12, Y7, Y7                    \
	VFMADD231PS (xo+224)(SI), Y7, Y5     \
	VADDPS Y5, Y4, Y4

// One step of 128 elements of a row: all four scales to X10, then two halves.
#define E2M1STEP(row, scale, acc) \
	VPMOVZXBD scale, X10                 \
	VPSLLD $23, X10, X10                 \
	VPCMPEQD ·scaleInf8(SB), X10, X8     \
	VPMAXUD ·scaleZero8(SB), X10, X10    \
	VPOR X8, X10, X10                    \
	E2M1HALF((row), 0)                   \
	VPERMPS Y10, Y11, Y8                 \
	VFMADD231PS Y8, Y4, acc              \
	VPSRLDQ $8, X10, X10                 \
	E2M1HALF(32(row), 256)               \
	VPERMPS Y10, Y11, Y8                 \
	VFMADD231PS Y8, Y4, acc

// func rows4F32AVX2(out *float32, w *byte, stride, ahead int, x *float32, steps int)
TEXT ·rows4F32AVX2(SB), NOSPLIT, $0-48
	ROWS4
	CLEARPARTS
f32loop:
	TESTQ CX, CX
	JZ   f32done
	PREFETCH4
	VMOVUPS (SI), Y8
	VMOVUPS 32(SI), Y9
	VFMADD231PS (R8), Y8, Y0
	VFMADD231PS (R9), Y8, Y1
	VFMADD231PS (R10), Y8, Y2
	VFMADD231PS (R11), Y8, Y3
	VFMADD231PS 32(R8), Y9, Y4
	VFMADD231PS 32(R9), Y9, Y5
	VFMADD231PS 32(R10), Y9, Y6
	VFMADD231PS 32(R11), Y9, Y7
	NEXT4(64)
	ADDQ $64, SI
	DECQ CX
	JMP  f32loop
f32done:
	ADDPARTS
	SUM4OF(Y0, Y1, Y2, Y3, (DI))
	VZEROUPPER
	RET

// func rows4BF16AVX2(out *float32, w *byte, stride, ahead int, x *float32, steps int)
TEXT ·rows4BF16AVX2(SB), NOSPLIT, $0-48
	ROWS4
	CLEARPARTS
	SUBQ $2, CX
	JL   bf16tail
bf16loop:
	PREFETCH4
	BF16STEP4(0, 0, Y0, Y1, Y2, Y3)
	BF16STEP4(16, 32, Y4, Y5, Y6, Y7)
	BF16STEP4(32, 64, Y0, Y1, Y2, Y3)
	BF16STEP4(48, 96, Y4, Y5, Y6, Y7)
	NEXT4(64)
	ADDQ $128, SI
	SUBQ $2, CX
	JGE  bf16loop
bf16tail:
	ADDQ $2, CX
	JZ   bf16done
	BF16STEP4(0, 0, Y0, Y1, Y2, Y3)
	BF16STEP4(16, 32, Y4, Y5, Y6, Y7)
bf16done:
	ADDPARTS
	SUM4OF(Y0, Y1, Y2, Y3, (DI))
	VZEROUPPER
	RET

// func rows4E4M3AVX2(out *float32, w *byte, stride, ahead int, x *float32, steps int, scale *float32)
// One scale for every 8 steps, shared by the four rows.
TEXT ·rows4E4M3AVX2(SB), NOSPLIT, $0-56
	ROWS4
	MOVQ scale+48(FP), DX
	E4M3CONST
e4m3block:
	TESTQ CX, CX
	JZ   e4m3done
	CLEARPARTS
	MOVQ $8, BX
	CMPQ CX, BX
	CMOVQLT CX, BX
	SUBQ BX, CX
	SUBQ $4, BX
	JL   e4m3tail
e4m3loop:
	PREFETCH4
	E4M3STEP4(0, 0)
	E4M3STEP4(8, 32)
	E4M3STEP4(16, 64)
	E4M3STEP4(24, 96)
	E4M3STEP4(32, 128)
	E4M3STEP4(40, 160)
	E4M3STEP4(48, 192)
	E4M3STEP4(56, 224)
	NEXT4(64)
	ADDQ $256, SI
	SUBQ $4, BX
	JGE  e4m3loop
e4m3tail:
	ADDQ $4, BX
	JZ   e4m3scale
e4m3one:
	E4M3STEP4(0, 0)
	E4M3STEP4(8, 32)
	NEXT4(16)
	ADDQ $64, SI
	DECQ BX
	JNZ  e4m3one
e4m3scale:
	VBROADCASTSS (DX), Y8
	ADDQ $4, DX
	VFMADD231PS Y8, Y4, Y0
	VFMADD231PS Y8, Y5, Y1
	VFMADD231PS Y8, Y6, Y2
	VFMADD231PS Y8, Y7, Y3
	JMP  e4m3block
e4m3done:
	SUM4OF(Y0, Y1, Y2, Y3, (DI))
	VZEROUPPER
	RET

// func rows4E2M1AVX2(out *float32, w *byte, stride, ahead int, x *float32, steps int,
//	scale *byte, scaleStride int)
// Steps are of 128 elements, x in the order of arrangeE2M1AVX2.
TEXT ·rows4E2M1AVX2(SB), NOSPLIT, $0-64
	ROWS4
	MOVQ scale+48(FP), DX
	MOVQ scaleStride+56(FP), AX
	LEAQ (AX)(AX*2), BX
	E2M1CONSTS
	VMOVDQU firstTwo<>(SB), Y11
e2m1loop:
	TESTQ CX, CX
	JZ   e2m1done
	PREFETCH4
	E2M1STEP(R8, (DX), Y0)
	E2M1STEP(R9, (DX)(AX*1), Y1)
	E2M1STEP(R10, (DX)(AX*2), Y2)
	E2M1STEP(R11, (DX)(BX*1), Y3)
	NEXT4(64)
	ADDQ $512, SI
	ADDQ $4, DX
	DECQ CX
	JMP  e2m1loop
e2m1done:
	SUM4OF(Y0, Y1, Y2, Y3, (DI))
	VZEROUPPER
	RET
