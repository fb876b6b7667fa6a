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

// Products of unquantised weights are summed as float32 in runs of 64 elements, eight to a lane of Y4..Y7,
// and the runs as float64 in Y0..Y3.
#define FOLD(part, lower, sum) \
	VEXTRACTF128 $1, part, X9  \
	VCVTPS2PD lower, Y8        \
	VCVTPS2PD X9, Y9           \
	VADDPD Y8, sum, sum        \
	VADDPD Y9, sum, sum

#define FOLD4 \
	FOLD(Y4, X4, Y0)   \
	FOLD(Y5, X5, Y1)   \
	FOLD(Y6, X6, Y2)   \
	FOLD(Y7, X7, Y3)

// Lane sums of these to four floats.
#define SUM4WIDE(mem) \
	VHADDPD Y1, Y0, Y8               \
	VHADDPD Y3, Y2, Y9               \
	VPERM2F128 $0x20, Y9, Y8, Y10    \
	VPERM2F128 $0x31, Y9, Y8, Y11    \
	VADDPD Y11, Y10, Y10             \
	VCVTPD2PSY Y10, X8               \
	VMOVUPS X8, mem

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

#define PREFETCH4AT(off) \
	PREFETCHT0 off(R8)(R12*1)   \
	PREFETCHT0 off(R9)(R12*1)   \
	PREFETCHT0 off(R10)(R12*1)  \
	PREFETCHT0 off(R11)(R12*1)

#define BF16STEP(off, row, x, tmp, acc) \
	VPMOVZXWD off(row), tmp  \
	VPSLLD $16, tmp, tmp     \
	VFMADD231PS tmp, x, acc

#define E4M3STEP(off, row, x, tmp, acc) \
	E4M3(off(row), tmp)      \
	VFMADD231PS tmp, x, acc

// Eight elements from offset off against those of x (from xo), four rows.
#define F32STEP4(off) \
	VMOVUPS off(SI), Y8             \
	VFMADD231PS off(R8), Y8, Y4     \
	VFMADD231PS off(R9), Y8, Y5     \
	VFMADD231PS off(R10), Y8, Y6    \
	VFMADD231PS off(R11), Y8, Y7

#define BF16STEP4(off, xo) \
	VMOVUPS xo(SI), Y8              \
	BF16STEP(off, R8, Y8, Y9, Y4)   \
	BF16STEP(off, R9, Y8, Y10, Y5)  \
	BF16STEP(off, R10, Y8, Y11, Y6) \
	BF16STEP(off, R11, Y8, Y12, Y7)

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
	SUBQ $4, CX
	JL   f32tail
f32loop:
	CLEARPARTS
	PREFETCH4AT(0)
	F32STEP4(0)
	F32STEP4(32)
	PREFETCH4AT(64)
	F32STEP4(64)
	F32STEP4(96)
	PREFETCH4AT(128)
	F32STEP4(128)
	F32STEP4(160)
	PREFETCH4AT(192)
	F32STEP4(192)
	F32STEP4(224)
	FOLD4
	NEXT4(256)
	ADDQ $256, SI
	SUBQ $4, CX
	JGE  f32loop
f32tail:
	ADDQ $4, CX
	JZ   f32done
	CLEARPARTS
f32one:
	F32STEP4(0)
	F32STEP4(32)
	NEXT4(64)
	ADDQ $64, SI
	DECQ CX
	JNZ  f32one
	FOLD4
f32done:
	SUM4WIDE((DI))
	VZEROUPPER
	RET

// func rows4BF16AVX2(out *float32, w *byte, stride, ahead int, x *float32, steps int)
TEXT ·rows4BF16AVX2(SB), NOSPLIT, $0-48
	ROWS4
	SUBQ $4, CX
	JL   bf16tail
bf16loop:
	CLEARPARTS
	PREFETCH4AT(0)
	BF16STEP4(0, 0)
	BF16STEP4(16, 32)
	BF16STEP4(32, 64)
	BF16STEP4(48, 96)
	PREFETCH4AT(64)
	BF16STEP4(64, 128)
	BF16STEP4(80, 160)
	BF16STEP4(96, 192)
	BF16STEP4(112, 224)
	FOLD4
	NEXT4(128)
	ADDQ $256, SI
	SUBQ $4, CX
	JGE  bf16loop
bf16tail:
	ADDQ $4, CX
	JZ   bf16done
	CLEARPARTS
bf16one:
	BF16STEP4(0, 0)
	BF16STEP4(16, 32)
	NEXT4(32)
	ADDQ $64, SI
	DECQ CX
	JNZ  bf16one
	FOLD4
bf16done:
	SUM4WIDE((DI))
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
