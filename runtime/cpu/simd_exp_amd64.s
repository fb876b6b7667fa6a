#include "textflag.h"

// Attention weights for both instruction sets: maximum of scores, and their exponentials, in float64.
//
// exp(t) = 2^n·exp(r) with n the integer nearest to t/ln 2 and |r| <= ln(2)/2, where the Taylor polynomial
// of degree 9 is within 2^-36 of exp(r). Adding 1.5·2^52 leaves n in the low bits of a float64, from where a
// shift and the addition of the bits of 1 make it 2^n.

// 1/ln 2; 1.5·2^52; ln 2; the coefficients 1/9! to 1/2!; 1.
DATA expConsts<>+0(SB)/8, $0x3ff71547652b82fe
DATA expConsts<>+8(SB)/8, $0x4338000000000000
DATA expConsts<>+16(SB)/8, $0x3fe62e42fefa39ef
DATA expConsts<>+24(SB)/8, $0x3ec71de3a556c734
DATA expConsts<>+32(SB)/8, $0x3efa01a01a01a01a
DATA expConsts<>+40(SB)/8, $0x3f2a01a01a01a01a
DATA expConsts<>+48(SB)/8, $0x3f56c16c16c16c17
DATA expConsts<>+56(SB)/8, $0x3f81111111111111
DATA expConsts<>+64(SB)/8, $0x3fa5555555555555
DATA expConsts<>+72(SB)/8, $0x3fc5555555555555
DATA expConsts<>+80(SB)/8, $0x3fe0000000000000
DATA expConsts<>+88(SB)/8, $0x3ff0000000000000
// Below -700 a result counts as nothing; down to there 2^n is a normal number.
DATA expConsts<>+96(SB)/8, $0xc085e00000000000
// For rounding to the 8 significant bits of bf16: one, half a step less one, the bits that stay.
DATA expConsts<>+104(SB)/8, $0x0000000000000001
DATA expConsts<>+112(SB)/8, $0x00000fffffffffff
DATA expConsts<>+120(SB)/8, $0xffffe00000000000
GLOBL expConsts<>(SB), RODATA|NOPTR, $128

// func peak8AVX512(x *float64, steps int) float64
TEXT ·peak8AVX512(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), SI
	MOVQ steps+8(FP), CX
	VMOVUPD (SI), Z0
	JMP  peakcheck
peakloop:
	VMAXPD (SI), Z0, Z0
peakcheck:
	ADDQ $64, SI
	DECQ CX
	JNZ  peakloop
	VEXTRACTF64X4 $1, Z0, Y1
	VMAXPD Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VMAXPD X1, X0, X0
	VPERMILPD $1, X0, X1
	VMAXPD X1, X0, X0
	VMOVSD X0, ret+16(FP)
	VZEROUPPER
	RET

// func peak8AVX2(x *float64, steps int) float64
TEXT ·peak8AVX2(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), SI
	MOVQ steps+8(FP), CX
	VMOVUPD (SI), Y0
	VMOVUPD 32(SI), Y1
	JMP  peakcheck
peakloop:
	VMAXPD (SI), Y0, Y0
	VMAXPD 32(SI), Y1, Y1
peakcheck:
	ADDQ $64, SI
	DECQ CX
	JNZ  peakloop
	VMAXPD Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VMAXPD X1, X0, X0
	VPERMILPD $1, X0, X1
	VMAXPD X1, X0, X0
	VMOVSD X0, ret+16(FP)
	VZEROUPPER
	RET

// func weigh8AVX512(x *float64, steps int, scale, top float64) (sum float64)
// The order of operands of VMAXPD lets a NaN pass.
TEXT ·weigh8AVX512(SB), NOSPLIT, $0-40
	MOVQ x+0(FP), SI
	MOVQ steps+8(FP), CX
	VBROADCASTSD scale+16(FP), Z31
	VBROADCASTSD top+24(FP), Z30
	VBROADCASTSD expConsts<>+0(SB), Z29
	VBROADCASTSD expConsts<>+8(SB), Z28
	VBROADCASTSD expConsts<>+16(SB), Z27
	VBROADCASTSD expConsts<>+24(SB), Z26
	VBROADCASTSD expConsts<>+32(SB), Z25
	VBROADCASTSD expConsts<>+40(SB), Z24
	VBROADCASTSD expConsts<>+48(SB), Z23
	VBROADCASTSD expConsts<>+56(SB), Z22
	VBROADCASTSD expConsts<>+64(SB), Z21
	VBROADCASTSD expConsts<>+72(SB), Z20
	VBROADCASTSD expConsts<>+80(SB), Z19
	VBROADCASTSD expConsts<>+88(SB), Z18
	VBROADCASTSD expConsts<>+96(SB), Z17
	VPBROADCASTQ expConsts<>+104(SB), Z16
	VPBROADCASTQ expConsts<>+112(SB), Z15
	VPBROADCASTQ expConsts<>+120(SB), Z14
	VPXORD Z0, Z0, Z0
weighloop:
	VMOVUPD (SI), Z1
	VFMSUB213PD Z30, Z31, Z1
	VMAXPD Z1, Z17, Z1
	VMOVAPD Z1, Z2
	VFMADD213PD Z28, Z29, Z2
	VSUBPD Z28, Z2, Z3
	VFNMADD231PD Z27, Z3, Z1
	VPSLLQ $52, Z2, Z2
	VMOVAPD Z26, Z3
	VFMADD213PD Z25, Z1, Z3
	VFMADD213PD Z24, Z1, Z3
	VFMADD213PD Z23, Z1, Z3
	VFMADD213PD Z22, Z1, Z3
	VFMADD213PD Z21, Z1, Z3
	VFMADD213PD Z20, Z1, Z3
	VFMADD213PD Z19, Z1, Z3
	VFMADD213PD Z18, Z1, Z3
	VFMADD213PD Z18, Z1, Z3
	VPADDQ Z18, Z2, Z2
	VMULPD Z2, Z3, Z3
	VADDPD Z3, Z0, Z0
	VPSRLQ $45, Z3, Z4
	VPANDQ Z16, Z4, Z4
	VPADDQ Z15, Z4, Z4
	VPADDQ Z4, Z3, Z3
	VPANDQ Z14, Z3, Z3
	VMOVUPD Z3, (SI)
	ADDQ $64, SI
	DECQ CX
	JNZ  weighloop
	VEXTRACTF64X4 $1, Z0, Y1
	VADDPD Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPD X1, X0, X0
	VHADDPD X0, X0, X0
	VMOVSD X0, sum+32(FP)
	VZEROUPPER
	RET

// func weigh8AVX2(x *float64, steps int, scale, top float64) (sum float64)
// As weigh8AVX512, four at a time.
TEXT ·weigh8AVX2(SB), NOSPLIT, $0-40
	MOVQ x+0(FP), SI
	MOVQ steps+8(FP), CX
	ADDQ CX, CX
	VBROADCASTSD scale+16(FP), Y15
	VBROADCASTSD top+24(FP), Y14
	VBROADCASTSD expConsts<>+0(SB), Y13
	VBROADCASTSD expConsts<>+8(SB), Y12
	VBROADCASTSD expConsts<>+16(SB), Y11
	VBROADCASTSD expConsts<>+88(SB), Y10
	VBROADCASTSD expConsts<>+96(SB), Y9
	VPBROADCASTQ expConsts<>+104(SB), Y8
	VPBROADCASTQ expConsts<>+112(SB), Y7
	VPBROADCASTQ expConsts<>+120(SB), Y6
	VXORPD Y0, Y0, Y0
weighloop:
	VMOVUPD (SI), Y1
	VFMSUB213PD Y14, Y15, Y1
	VMAXPD Y1, Y9, Y1
	VMOVAPD Y1, Y2
	VFMADD213PD Y12, Y13, Y2
	VSUBPD Y12, Y2, Y3
	VFNMADD231PD Y11, Y3, Y1
	VPSLLQ $52, Y2, Y2
	VBROADCASTSD expConsts<>+24(SB), Y3
	VBROADCASTSD expConsts<>+32(SB), Y4
	VFMADD213PD Y4, Y1, Y3
	VBROADCASTSD expConsts<>+40(SB), Y4
	VFMADD213PD Y4, Y1, Y3
	VBROADCASTSD expConsts<>+48(SB), Y4
	VFMADD213PD Y4, Y1, Y3
	VBROADCASTSD expConsts<>+56(SB), Y4
	VFMADD213PD Y4, Y1, Y3
	VBROADCASTSD expConsts<>+64(SB), Y4
	VFMADD213PD Y4, Y1, Y3
	VBROADCASTSD expConsts<>+72(SB), Y4
	VFMADD213PD Y4, Y1, Y3
	VBROADCASTSD expConsts<>+80(SB), Y4
	VFMADD213PD Y4, Y1, Y3
	VFMADD213PD Y10, Y1, Y3
	VFMADD213PD Y10, Y1, Y3
	VPADDQ Y10, Y2, Y2
	VMULPD Y2, Y3, Y3
	VADDPD Y3, Y0, Y0
	VPSRLQ $45, Y3, Y4
	VPAND Y8, Y4, Y4
	VPADDQ Y7, Y4, Y4
	VPADDQ Y4, Y3, Y3
	VPAND Y6, Y3, Y3
	VMOVUPD Y3, (SI)
	ADDQ $32, SI
	DECQ CX
	JNZ  weighloop
	VEXTRACTF128 $1, Y0, X1
	VADDPD X1, X0, X0
	VHADDPD X0, X0, X0
	VMOVSD X0, sum+32(FP)
	VZEROUPPER
	RET
