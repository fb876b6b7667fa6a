#include "textflag.h"
#include "simd_amd64.h"

// Sixteen float32 lanes per register; rows of weights go four at a time. Each routine runs for a few
// microseconds at most, since the scheduler cannot interrupt it.

// mask of an e4m3 byte sign-extended to 32 bits and shifted left by 20: sign, exponent and fraction of a
// float32 that is 2^120 too small.
DATA e4m3Mask<>+0(SB)/4, $0x87f00000
GLOBL e4m3Mask<>(SB), RODATA|NOPTR, $4

DATA two120<>+0(SB)/4, $0x7b800000
GLOBL two120<>(SB), RODATA|NOPTR, $4

DATA ·e2m1Table+0(SB)/4, $0x00000000
DATA ·e2m1Table+4(SB)/4, $0x3f000000
DATA ·e2m1Table+8(SB)/4, $0x3f800000
DATA ·e2m1Table+12(SB)/4, $0x3fc00000
DATA ·e2m1Table+16(SB)/4, $0x40000000
DATA ·e2m1Table+20(SB)/4, $0x40400000
DATA ·e2m1Table+24(SB)/4, $0x40800000
DATA ·e2m1Table+28(SB)/4, $0x40c00000
DATA ·e2m1Table+32(SB)/4, $0x80000000
DATA ·e2m1Table+36(SB)/4, $0xbf000000
DATA ·e2m1Table+40(SB)/4, $0xbf800000
DATA ·e2m1Table+44(SB)/4, $0xbfc00000
DATA ·e2m1Table+48(SB)/4, $0xc0000000
DATA ·e2m1Table+52(SB)/4, $0xc0400000
DATA ·e2m1Table+56(SB)/4, $0xc0800000
DATA ·e2m1Table+60(SB)/4, $0xc0c00000
GLOBL ·e2m1Table(SB), RODATA|NOPTR, $64

// Byte L of four scales to the lowest byte of each word of 128-bit lane L.
DATA ·scaleLanes+0(SB)/8, $0x8080800080808000
DATA ·scaleLanes+8(SB)/8, $0x8080800080808000
DATA ·scaleLanes+16(SB)/8, $0x8080800180808001
DATA ·scaleLanes+24(SB)/8, $0x8080800180808001
DATA ·scaleLanes+32(SB)/8, $0x8080800280808002
DATA ·scaleLanes+40(SB)/8, $0x8080800280808002
DATA ·scaleLanes+48(SB)/8, $0x8080800380808003
DATA ·scaleLanes+56(SB)/8, $0x8080800380808003
GLOBL ·scaleLanes(SB), RODATA|NOPTR, $64

// ue8m0 byte 0 as a float32: the subnormal 2^-127.
DATA ·scaleZero+0(SB)/4, $0x00400000
GLOBL ·scaleZero(SB), RODATA|NOPTR, $4

// ue8m0 byte 255 shifted into the exponent, and the NaN it stands for.
DATA ·scaleInf+0(SB)/4, $0x7f800000
GLOBL ·scaleInf(SB), RODATA|NOPTR, $4
DATA ·scaleNaN+0(SB)/4, $0x7fc00000
GLOBL ·scaleNaN(SB), RODATA|NOPTR, $4

// One step of 16 elements of one row.
#define E4M3STEP(off, row, x, tmp, acc) \
	VPMOVSXBD off(row), tmp  \
	VPSLLD $20, tmp, tmp     \
	VPANDD Z31, tmp, tmp     \
	VFMADD231PS tmp, x, acc

// Nibble j of the 16 words of each row against the 16 elements of x that belong to it.
#define E2M1FIRST \
	VMOVUPS (SI), Z16         \
	VPERMPS Z30, Z8, Z17      \
	VPERMPS Z30, Z9, Z18      \
	VPERMPS Z30, Z10, Z19     \
	VPERMPS Z30, Z11, Z20     \
	VMULPS Z17, Z16, Z4       \
	VMULPS Z18, Z16, Z5       \
	VMULPS Z19, Z16, Z6       \
	VMULPS Z20, Z16, Z7

#define E2M1STEP(off) \
	VMOVUPS off(SI), Z16      \
	VPSRLD $4, Z8, Z8         \
	VPSRLD $4, Z9, Z9         \
	VPSRLD $4, Z10, Z10       \
	VPSRLD $4, Z11, Z11       \
	VPERMPS Z30, Z8, Z17      \
	VPERMPS Z30, Z9, Z18      \
	VPERMPS Z30, Z10, Z19     \
	VPERMPS Z30, Z11, Z20     \
	VFMADD231PS Z17, Z16, Z4  \
	VFMADD231PS Z18, Z16, Z5  \
	VFMADD231PS Z19, Z16, Z6  \
	VFMADD231PS Z20, Z16, Z7

#define E2M1WIDEN(off) \
	VPERMPS Z30, Z8, Z16    \
	VMULPS Z17, Z16, Z16    \
	VMOVUPS Z16, off(DI)    \
	VPSRLD $4, Z8, Z8

// func cpuid(leaf, sub uint32) (a, b, c, d uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-24
	MOVL leaf+0(FP), AX
	MOVL sub+4(FP), CX
	CPUID
	MOVL AX, a+8(FP)
	MOVL BX, b+12(FP)
	MOVL CX, c+16(FP)
	MOVL DX, d+20(FP)
	RET

// func xgetbv() uint32
TEXT ·xgetbv(SB), NOSPLIT, $0-4
	XORL CX, CX
	XGETBV
	MOVL AX, ret+0(FP)
	RET

// func rows4E4M3AVX512(out *float32, w *byte, stride, ahead int, x *float32, steps int, scale *float32)
// One scale for every 8 steps, shared by the four rows.
TEXT ·rows4E4M3AVX512(SB), NOSPLIT, $0-56
	ROWS4
	MOVQ scale+48(FP), DX
	VPBROADCASTD e4m3Mask<>(SB), Z31
e4m3block:
	TESTQ CX, CX
	JZ   e4m3done
	VPXORD Z4, Z4, Z4
	VPXORD Z5, Z5, Z5
	VPXORD Z6, Z6, Z6
	VPXORD Z7, Z7, Z7
	MOVQ $8, BX
	CMPQ CX, BX
	CMOVQLT CX, BX
	SUBQ BX, CX
	SUBQ $4, BX
	JL   e4m3tail
e4m3loop:
	PREFETCH4
	VMOVUPS (SI), Z16
	VMOVUPS 64(SI), Z17
	VMOVUPS 128(SI), Z18
	VMOVUPS 192(SI), Z19
	E4M3STEP(0, R8, Z16, Z20, Z4)
	E4M3STEP(0, R9, Z16, Z21, Z5)
	E4M3STEP(0, R10, Z16, Z22, Z6)
	E4M3STEP(0, R11, Z16, Z23, Z7)
	E4M3STEP(16, R8, Z17, Z24, Z4)
	E4M3STEP(16, R9, Z17, Z25, Z5)
	E4M3STEP(16, R10, Z17, Z26, Z6)
	E4M3STEP(16, R11, Z17, Z27, Z7)
	E4M3STEP(32, R8, Z18, Z20, Z4)
	E4M3STEP(32, R9, Z18, Z21, Z5)
	E4M3STEP(32, R10, Z18, Z22, Z6)
	E4M3STEP(32, R11, Z18, Z23, Z7)
	E4M3STEP(48, R8, Z19, Z24, Z4)
	E4M3STEP(48, R9, Z19, Z25, Z5)
	E4M3STEP(48, R10, Z19, Z26, Z6)
	E4M3STEP(48, R11, Z19, Z27, Z7)
	NEXT4(64)
	ADDQ $256, SI
	SUBQ $4, BX
	JGE  e4m3loop
e4m3tail:
	ADDQ $4, BX
	JZ   e4m3scale
e4m3one:
	VMOVUPS (SI), Z16
	E4M3STEP(0, R8, Z16, Z20, Z4)
	E4M3STEP(0, R9, Z16, Z21, Z5)
	E4M3STEP(0, R10, Z16, Z22, Z6)
	E4M3STEP(0, R11, Z16, Z23, Z7)
	NEXT4(16)
	ADDQ $64, SI
	DECQ BX
	JNZ  e4m3one
e4m3scale:
	VBROADCASTSS (DX), Z16
	ADDQ $4, DX
	VFMADD231PS Z16, Z4, Z0
	VFMADD231PS Z16, Z5, Z1
	VFMADD231PS Z16, Z6, Z2
	VFMADD231PS Z16, Z7, Z3
	JMP  e4m3block
e4m3done:
	SUM4TO((DI))
	VZEROUPPER
	RET

// func rows4E2M1AVX512(out *float32, w *byte, stride, ahead int, x *float32, steps int,
//	scale *byte, scaleStride int)
// Steps are of 128 elements, x in the order of arrangeE2M1AVX512.
TEXT ·rows4E2M1AVX512(SB), NOSPLIT, $0-64
	ROWS4
	MOVQ scale+48(FP), DX
	MOVQ scaleStride+56(FP), AX
	LEAQ (AX)(AX*2), BX
	UE8M0CONSTS
e2m1loop:
	TESTQ CX, CX
	JZ   e2m1done
	PREFETCH4
	VMOVDQU32 (R8), Z8
	VMOVDQU32 (R9), Z9
	VMOVDQU32 (R10), Z10
	VMOVDQU32 (R11), Z11
	E2M1FIRST
	E2M1STEP(64)
	E2M1STEP(128)
	E2M1STEP(192)
	E2M1STEP(256)
	E2M1STEP(320)
	E2M1STEP(384)
	E2M1STEP(448)
	UE8M0LANES((DX), Z17)
	VFMADD231PS Z17, Z4, Z0
	UE8M0LANES((DX)(AX*1), Z18)
	VFMADD231PS Z18, Z5, Z1
	UE8M0LANES((DX)(AX*2), Z19)
	VFMADD231PS Z19, Z6, Z2
	UE8M0LANES((DX)(BX*1), Z20)
	VFMADD231PS Z20, Z7, Z3
	NEXT4(64)
	ADDQ $512, SI
	ADDQ $4, DX
	DECQ CX
	JMP  e2m1loop
e2m1done:
	SUM4TO((DI))
	VZEROUPPER
	RET

// func widenBF16AVX512(dst *float32, src *byte, steps, ahead int)
TEXT ·widenBF16AVX512(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ steps+16(FP), CX
	MOVQ ahead+24(FP), R12
widenBF16loop:
	TESTQ CX, CX
	JZ   widenBF16done
	PREFETCHT0 (SI)(R12*1)
	VPMOVZXWD (SI), Z0
	VPSLLD $16, Z0, Z0
	VMOVUPS Z0, (DI)
	ADDQ $32, SI
	ADDQ $64, DI
	DECQ CX
	JMP  widenBF16loop
widenBF16done:
	VZEROUPPER
	RET

// func widenE4M3AVX512(dst *float32, src *byte, steps, ahead int, scale float32)
TEXT ·widenE4M3AVX512(SB), NOSPLIT, $0-36
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ steps+16(FP), CX
	MOVQ ahead+24(FP), R12
	VBROADCASTSS scale+32(FP), Z30
	VPBROADCASTD e4m3Mask<>(SB), Z31
	VBROADCASTSS two120<>(SB), Z29
widenE4M3loop:
	TESTQ CX, CX
	JZ   widenE4M3done
	PREFETCHT0 (SI)(R12*1)
	VPMOVSXBD (SI), Z0
	VPSLLD $20, Z0, Z0
	VPANDD Z31, Z0, Z0
	VMULPS Z29, Z0, Z0
	VMULPS Z30, Z0, Z0
	VMOVUPS Z0, (DI)
	ADDQ $16, SI
	ADDQ $64, DI
	DECQ CX
	JMP  widenE4M3loop
widenE4M3done:
	VZEROUPPER
	RET

// func widenE2M1AVX512(dst *float32, src *byte, steps, ahead int, scale *byte)
// Steps are of 128 elements, written in the order of arrangeE2M1AVX512.
TEXT ·widenE2M1AVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ steps+16(FP), CX
	MOVQ ahead+24(FP), R12
	MOVQ scale+32(FP), DX
	UE8M0CONSTS
widenE2M1loop:
	TESTQ CX, CX
	JZ   widenE2M1done
	PREFETCHT0 (SI)(R12*1)
	VMOVDQU32 (SI), Z8
	UE8M0LANES((DX), Z17)
	E2M1WIDEN(0)
	E2M1WIDEN(64)
	E2M1WIDEN(128)
	E2M1WIDEN(192)
	E2M1WIDEN(256)
	E2M1WIDEN(320)
	E2M1WIDEN(384)
	E2M1WIDEN(448)
	ADDQ $64, SI
	ADDQ $512, DI
	ADDQ $4, DX
	DECQ CX
	JMP  widenE2M1loop
widenE2M1done:
	VZEROUPPER
	RET
